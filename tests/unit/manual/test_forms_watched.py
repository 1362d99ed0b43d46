"""The forms in which manuals say what is watched and promised, and what only looks like it."""

from __future__ import annotations

import pytest

from opsbook.manual.reading import as_json, read_manual

Expected = list[tuple[int, dict[str, str]]]


def assert_reads(kind: str, text: str, expected: Expected) -> None:
    found = as_json(read_manual(text, "test.md"))[kind]
    told = [
        (item["line"], {key: item.get(key) for key in want}) for item, (_, want) in zip(found, expected, strict=False)
    ]
    assert told == expected
    assert len(found) == len(expected)


METRICS: list[tuple[str, Expected]] = [
    (
        ("## Alerts\n\n- CPU above 80 % for 5 minutes\n- Error rate >= 5% (critical)\n- p95 latency >= 500ms\n"),
        [(3, {"critical": "above 80 % for 5 minutes"}), (4, {"critical": ">= 5%"}), (5, {"critical": ">= 500ms"})],
    ),
    (
        (
            "## Alert Thresholds\n\n| Alert | Condition | Severity |\n|-|-|-|\n"
            "| HighCPU | cpu > 80% for 5m | warning |\n| Down | up == 0 | critical |\n"
        ),
        [(5, {"warning": "cpu > 80% for 5m"}), (6, {})],
    ),
    (
        ("## Alerts\n\n| Metric | Warning | Critical |\n|-|-|-|\n| CPU | 70% | 90% |\n| Queue depth | 1000 | 5000 |\n"),
        [(5, {"warning": "70%", "critical": "90%"}), (6, {"warning": "1000", "critical": "5000"})],
    ),
    (("## Scaling Triggers\n\n- CPU > 70% for 1 hour → Scale up\n- Disk > 80% → Add storage\n"), [(3, {}), (4, {})]),
    (
        "## Cost Alerts\n\n- Daily cost > $100: Warning\n- Daily cost > $200: Critical\n",
        [(3, {"warning": "> $100"}), (4, {"critical": "> $200"})],
    ),
    (
        ("### Key alerts\n\n1. **HighErrorRate**: error rate too high\n2. **ServiceDown**: service is unreachable\n"),
        [(3, {}), (4, {})],
    ),
    (
        (
            "## M\n\n```yaml\nalerts:\n  cpu_usage:\n    warning: 70\n    critical: 90\n  memory:\n"
            "    warning: 80\n    critical: 95\n```\n"
        ),
        [(6, {"warning": "70", "critical": "90"}), (9, {"warning": "80", "critical": "95"})],
    ),
    (
        ("## M\n\n```yaml\nthresholds:\n  cpu_percent: 80\n  memory_percent: 85\n  error_rate: 0.05\n```\n"),
        [(5, {}), (6, {}), (7, {})],
    ),
    ('## M\n\n```python\nTHRESHOLDS = {\n    "cpu": 80,\n    "disk": 90,\n}\n```\n', [(5, {}), (6, {})]),
    (
        ("## SLOs\n\n| SLI | Target |\n|-|-|\n| Availability | 99.9% |\n| p99 latency | < 1s |\n"),
        [(5, {"normal": "99.9%"}), (6, {"normal": "< 1s"})],
    ),
    ("### Symptoms\n\n- Response time > 5s\n- Error rate > 10%\n", []),
    (
        (
            "## Monitoring\n\n**Warning thresholds**\n- CPU: 70%\n- Memory: 80%\n\n"
            "**Critical thresholds**\n- CPU: 90%\n- Memory: 95%\n"
        ),
        [(4, {"warning": "70%", "critical": "90%"}), (5, {"warning": "80%", "critical": "95%"})],
    ),
    (
        (
            "## Key Metrics\n\n### Application\n\n- Request rate: normal 100-500 req/s\n"
            "- Response time (p95): < 200ms\n- Error rate: < 0.1%\n"
        ),
        [(5, {}), (6, {"normal": "< 200ms"}), (7, {"normal": "< 0.1%"})],
    ),
    (
        ("## Budget\n\n**Alert Levels:**\n- **Warning (80%)**: email\n- **Critical (95%)**: Slack\n"),
        [(4, {"warning": "80%", "critical": "95%"})],
    ),
    ("```yaml\n- alert: X\n  expr: a > 5\n  labels: {severity: critical}\n```\n", [(2, {})]),
    ("## Prerequisites\n\n- Docker > 20.10\n- Memory > 8 GB\n", []),
    (
        ("## Health thresholds\n\n| Check | OK | Warn | Crit |\n|-|-|-|-|\n| CPU | <70% | 70-85% | >85% |\n"),
        [(5, {"normal": "<70%", "warning": "70-85%", "critical": ">85%"})],
    ),
    (
        (
            "## Alerts\n\n| Alert | Threshold | Duration | Severity |\n|-|-|-|-|\n"
            "| High latency | p99 > 1s | 5m | warning |\n"
        ),
        [(5, {"warning": "p99 > 1s"})],
    ),
    (
        ("## Monitoring\n\n- CPU usage should stay below 80%\n- Memory usage should not exceed 85%\n"),
        [(3, {}), (4, {})],
    ),
    (
        ("## Alerting\n\n- Alert if error rate exceeds 1% for 5 minutes\n- Alert when disk usage > 90%\n"),
        [(3, {}), (4, {})],
    ),
    (("### Key Metrics\n\n- `http_requests_total`: total requests\n- `http_request_duration_seconds`: latency\n"), []),
    ("### SLOs\n\n- Availability: 99.9%\n- p95 latency < 300ms\n", [(4, {})]),
    (
        (
            "### Alerts\n\n**HighErrorRate** (critical): error rate > 5% for 5 minutes\n\n"
            "**HighLatency** (warning): p95 > 1s\n"
        ),
        [(3, {}), (5, {})],
    ),
    (
        (
            "### Alerts\n\n```\nHighErrorRate: error_rate > 5% for 5m (critical)\n"
            "HighLatency: p95 > 1s for 10m (warning)\n```\n"
        ),
        [(4, {}), (5, {})],
    ),
    (
        ("## Capacity\n\n| Resource | Current | Threshold |\n|-|-|-|\n| CPU | 45% | 80% |\n| Disk | 60% | 85% |\n"),
        [(5, {"critical": "80%"}), (6, {"critical": "85%"})],
    ),
    ("## Sizing\n\n| Plan | CPU | Memory |\n|-|-|-|\n| small | 2 | 4GB |\n", []),
    (("## HPA\n\n```bash\nkubectl autoscale deployment api --cpu-percent=70 --min=2 --max=10\n```\n"), []),
    ("```yaml\nTargets:\n  Uptime: > 99.5%\n  API latency: < 500ms\n```\n", []),
    (
        ('## Monitoring KPIs\n\n```yaml\nTargets:\n  - Uptime: "> 99.5%"\n  - API latency: < 500ms\n```\n'),
        [(5, {}), (6, {})],
    ),
    (
        (
            "## Critical alerts\n\n```yaml\nCPU > 90% (5 min):\n  - channel: sms\n  - action: scale\n"
            "Errors > 5%:\n  - channel: mail\n```\n"
        ),
        [(4, {}), (7, {})],
    ),
    (
        (
            "## Alerting Rules\n\n| Rule | Expression | For | Severity |\n|-|-|-|-|\n"
            "| HighCPU | `cpu > 0.8` | 5m | warning |\n| Disk | `free < 10%` | 10m | critical |\n"
        ),
        [(5, {}), (6, {})],
    ),
    (
        (
            "## Monitoring\n\n### What to monitor\n\n- CPU utilization (alert at 80%)\n"
            "- Memory (alert at 85%)\n- Disk (warn at 80%, critical at 90%)\n"
        ),
        [(5, {"critical": "80%"}), (6, {"critical": "85%"}), (7, {"warning": "80%", "critical": "90%"})],
    ),
    (
        (
            "## Performance targets\n\n| Metric | Target | Current |\n|-|-|-|\n"
            "| TTFB | < 200ms | 150ms |\n| Uptime | 99.9% | 99.95% |\n"
        ),
        [(5, {"normal": "< 200ms"}), (6, {"normal": "99.9%"})],
    ),
    (("## Performance baselines\n\n- Average response time: 120ms\n- Throughput: 500 req/s\n"), []),
    (
        (
            "## Key metrics\n\n1. **Error rate** - should stay under 1%\n"
            "2. **Latency** - p99 under 500ms\n3. **Saturation** - CPU under 80%\n"
        ),
        [(3, {}), (4, {}), (5, {})],
    ),
    (
        (
            "## Alerting\n\n```yaml\nalerts:\n  - name: High CPU\n    threshold: 80%\n    duration: 5m\n"
            "    severity: warning\n  - name: Down\n    threshold: 1\n    severity: critical\n"
        ),
        [(5, {"warning": "80%"}), (9, {"critical": "1"})],
    ),
    (
        ("## CloudWatch\n\n```bash\naws cloudwatch put-metric-alarm --alarm-name cpu-high --threshold 80\n```\n"),
        [(4, {})],
    ),
    (
        (
            '## Alarms\n\n```hcl\nresource "aws_cloudwatch_metric_alarm" "cpu" {\n'
            '  alarm_name = "cpu-high"\n  metric_name = "CPUUtilization"\n'
            '  comparison_operator = "GreaterThanThreshold"\n  threshold = 80\n}\n```\n'
        ),
        [(4, {})],
    ),
    (
        (
            "## HPA\n\n```yaml\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nspec:\n"
            "  metrics:\n  - type: Resource\n    resource:\n      name: cpu\n      target:\n"
            "        type: Utilization\n        averageUtilization: 70\n```\n"
        ),
        [(13, {})],
    ),
    ("## Rollback criteria\n\n- Error rate > 5%\n- p95 latency > 2s\n", []),
    ("**Critical**: Error rate > 5%, Service down\n\n**Warning**: CPU > 80%\n", []),
]

SEVERITIES: list[tuple[str, Expected]] = [
    (
        (
            "## Severity levels\n\n### SEV1 - Critical\n**Response time**: 15 minutes\n\n"
            "### SEV2 - Major\n**Response time**: 1 hour\n"
        ),
        [(3, {"response": "15min"}), (6, {"response": "1h"})],
    ),
    (
        (
            "## Incident severities\n\n- **SEV-1**: outage — respond within 15 minutes\n"
            "- **SEV-2**: degraded — respond within 1 hour\n"
        ),
        [(3, {"response": "15min"}), (4, {"response": "1h"})],
    ),
    (
        (
            "## Incidents\n\n| Level | Description | Response | Resolution |\n|-|-|-|-|\n"
            "| Critical | x | 15m | 4h |\n| Major | y | 1h | 24h |\n"
        ),
        [(5, {"response": "15min"}), (6, {"response": "1h"})],
    ),
    ("## Alerts\n\n| Alert | Severity |\n|-|-|\n| A | critical |\n| B | warning |\n", []),
    (
        ("## SLA\n\n| Priority | First response | Fix |\n|-|-|-|\n| P1 | 30 min | 4 h |\n| P2 | 2 h | 1 d |\n"),
        [(5, {"response": "30min", "resolution": "4h"}), (6, {"response": "2h", "resolution": "1d"})],
    ),
    (
        (
            "### Severity Definitions\n\n**P1 - Critical**\n- Complete outage\n- Response: 15 minutes\n"
            "- Resolution: 4 hours\n\n**P2 - High**\n- Partial\n- Response: 1 hour\n"
            "- Resolution: 8 hours\n"
        ),
        [(3, {"response": "15min", "resolution": "4h"}), (8, {"response": "1h", "resolution": "8h"})],
    ),
    (
        (
            "### Severity\n\n| Sev | Definition | Ack | Resolve |\n|-|-|-|-|\n| 1 | down | 5 min | 1 h |\n"
            "| 2 | slow | 30 min | 8 h |\n"
        ),
        [(5, {"response": "5min", "resolution": "1h"}), (6, {"response": "30min", "resolution": "8h"})],
    ),
    (
        (
            "## Incident levels\n\n1. **Critical (P0)**: outage. Response time: < 15 min\n"
            "2. **High (P1)**: degraded. Response time: < 1 hour\n"
        ),
        [(3, {"response": "15min"}), (4, {"response": "1h"})],
    ),
    (
        (
            "## Incident priority\n\n- P1: Site down (15 min response)\n"
            "- P2: Feature broken (1 h response)\n- P3: Minor (next business day)\n"
        ),
        [(3, {"response": "15min"}), (4, {"response": "1h"}), (5, {"response": "next business day"})],
    ),
    (
        (
            "## Severity Levels\n\n#### SEV-1: Critical\n- **Definition**: outage\n"
            "- **Response Time**: Immediate\n\n#### SEV-2: Major\n- **Definition**: degraded\n"
            "- **Response Time**: 30 minutes\n"
        ),
        [(3, {"response": "immediate"}), (7, {"response": "30min"})],
    ),
]

OBJECTIVES: list[tuple[str, Expected]] = [
    (
        ("## DR\n\n- Recovery Time Objective: 4 hours\n- Recovery Point Objective: 15 minutes\n"),
        [(3, {"value": "4h"}), (4, {"value": "15min"})],
    ),
    (
        ("## DR\n\n| Service | RTO | RPO |\n|-|-|-|\n| API | 15 min | 0 |\n| DB | 1 h | 5 min |\n"),
        [(5, {}), (5, {}), (6, {}), (6, {})],
    ),
    ("## SLO\n\n- Availability: 99.9% monthly\n", [(3, {})]),
    ("## DR\n\nOur RTO is 2 hours, RPO is 1 hour.\n", [(3, {}), (3, {})]),
    (
        ("### Disaster recovery\n\n| Metric | Target |\n|-|-|\n| RTO | 4 hours |\n| RPO | 1 hour |\n"),
        [(5, {"value": "4h"}), (6, {"value": "1h"})],
    ),
    (
        "- **RTO**: 1 hour (critical), 4 hours (standard)\n- **RPO**: 15 min\n",
        [(1, {"value": "1h"}), (2, {"value": "15min"})],
    ),
    (
        (
            "### Service Level Objectives\n\n| SLO | Target |\n|-|-|\n| Availability | 99.9% |\n"
            "| Latency p95 | < 300ms |\n"
        ),
        [],
    ),
]


@pytest.mark.parametrize(("text", "expected"), METRICS)
def test_it_reads_every_form_of_metrics_and_nothing_else(text: str, expected: Expected) -> None:
    assert_reads("metrics", text, expected)


@pytest.mark.parametrize(("text", "expected"), SEVERITIES)
def test_it_reads_every_form_of_severities_and_nothing_else(text: str, expected: Expected) -> None:
    assert_reads("severities", text, expected)


@pytest.mark.parametrize(("text", "expected"), OBJECTIVES)
def test_it_reads_every_form_of_objectives_and_nothing_else(text: str, expected: Expected) -> None:
    assert_reads("objectives", text, expected)
