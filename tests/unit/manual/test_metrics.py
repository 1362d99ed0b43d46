"""Metrics and thresholds, from tables, lists, rules and autoscalers."""

from __future__ import annotations

from opsbook.manual.reading import Manual, read_manual


def read(text: str) -> Manual:
    return read_manual(text, "test.md")


def test_it_reads_ranges_from_a_table() -> None:
    metric = read(
        "## Metrics\n\n| Metric | Normal | Warning | Critical | Action |\n|-|-|-|-|-|\n| "
        "CPU | <60% | >70% | >90% | Scale |\n"
    ).metrics[0]
    assert (metric.metric, metric.normal, metric.warning, metric.critical, metric.action, metric.line) == (
        "CPU",
        "<60%",
        ">70%",
        ">90%",
        "Scale",
        5,
    )


def test_it_takes_a_lone_threshold_for_the_critical_one_unless_its_severity_says_otherwise() -> None:
    found = read(
        "## Umbrales\n\n| Métrica | Umbral | Severidad |\n|-|-|-|\n| a | > 1 % | crítica "
        "|\n| b | > 2 % | advertencia |\n"
    ).metrics
    assert [(metric.critical, metric.warning) for metric in found] == [("> 1 %", ""), ("", "> 2 %")]


def test_it_reads_ranges_from_bullets() -> None:
    found = read(
        "## Key metrics\n\n- **CPU**: Target < 70%\n- Error rate (<1%)\n- Disk usage: "
        "Alert at 85%\n- Latency > 2s for 5 minutes\n- Requests per second\n"
    ).metrics
    assert [(metric.metric, metric.normal, metric.critical) for metric in found] == [
        ("CPU", "< 70%", ""),
        ("Error rate", "<1%", ""),
        ("Disk usage", "", "85%"),
        ("Latency", "> 2s for 5 minutes", ""),
    ]
    assert found[3].for_ == "5min"


def test_it_reads_two_ranges_of_one_bullet() -> None:
    metric = read("## Überwachung\n\n- **Last**: Warnung > 4, kritisch > 8\n").metrics[0]
    assert (metric.warning, metric.critical) == ("> 4", "> 8")


def test_it_joins_an_alert_to_the_metric_of_the_same_subject() -> None:
    found = read(
        "## Key metrics\n\n- Memory usage (<75%)\n\n## Alerting\n\n**Critical "
        "alerts:**\n- High memory usage (>90%)\n- Database down\n"
    ).metrics
    assert [(metric.metric, metric.normal, metric.critical, metric.severity) for metric in found] == [
        ("Memory usage", "<75%", ">90%", ""),
        ("Database down", "", "", "critical"),
    ]


def test_it_reads_ranges_from_a_checklist() -> None:
    metric = read("## Morning\n\n- [ ] Check disk space > 20% free\n- [ ] All well\n").metrics[0]
    assert (metric.metric, metric.normal) == ("disk space free", "> 20%")


def test_it_reads_prometheus_rules() -> None:
    text = "```yaml\n- alert: Slow\n  expr: p95 > 0.5\n  for: 10m\n  labels:\n    severity: warning\n```\n"
    metric = read(text).metrics[0]
    assert (metric.metric, metric.expr, metric.for_, metric.severity, metric.warning, metric.line) == (
        "Slow",
        "p95 > 0.5",
        "10m",
        "warning",
        "> 0.5",
        2,
    )


def test_it_reads_thresholds_from_yaml() -> None:
    text = (
        "```yaml\nalerts:\n  - name: Full\n    condition: disk > 90%\n    severity: "
        "critical\n    action: Clean up\n```\n"
    )
    metric = read(text).metrics[0]
    assert (metric.metric, metric.critical, metric.action, metric.line) == ("Full", "disk > 90%", "Clean up", 3)


def test_it_reads_the_targets_of_an_autoscaler() -> None:
    text = (
        "```yaml\nkind: HorizontalPodAutoscaler\nspec:\n  metrics:\n  - resource:\n      "
        "name: cpu\n      target:\n        averageUtilization: 65\n```\n"
    )
    metric = read(text).metrics[0]
    assert (metric.metric, metric.target, metric.line) == ("HPA cpu", "65%", 8)


def test_it_takes_no_resource_table_for_thresholds() -> None:
    assert (
        read("## Resources\n\n| Component | CPU Limit | Memory Limit |\n|-|-|-|\n| api | 500m | 1Gi |\n").metrics == ()
    )


def test_it_takes_no_instruction_for_a_metric() -> None:
    assert read("## Monitoring\n\n- If CPU > 80%, add a node\n- When errors > 5%, page\n").metrics == ()


def test_it_reads_the_targets_of_a_charts_values() -> None:
    text = (
        "```yaml\nautoscaling:\n  minReplicas: 2\n  targetCPUUtilizationPercentage: 65\n"
        "  targetMemoryUtilizationPercentage: 75\n```\n"
    )
    assert [(each.metric, each.target, each.line) for each in read(text).metrics] == [
        ("HPA cpu", "65%", 4),
        ("HPA memory", "75%", 5),
    ]


def test_an_informative_alert_is_a_warning() -> None:
    metric = read("## Alerts\n\n### Informative Alerts\n\n- Hit rate < 80%\n").metrics[0]
    assert (metric.warning, metric.critical) == ("< 80%", "")
