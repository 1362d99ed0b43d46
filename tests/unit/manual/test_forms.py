"""The forms in which manuals say the same thing: prose, tables, settings, flags, and what only looks like it."""

from __future__ import annotations

import pytest

from opsbook.manual.reading import as_json, read_manual

Expected = dict[int, dict[str, str]]


RETENTION: list[tuple[str, Expected]] = [
    ("## Backups\n\nBackups are kept for 30 days.\n", {3: {"keep": "30d"}}),
    ("## Logs\n\nLogs are rotated daily and retained for two weeks.\n", {3: {"keep": "2w"}}),
    ("## Loki\n\n```yaml\nlimits_config:\n  retention_period: 744h\n```\n", {5: {"keep": "744h"}}),
    (
        ("## Prom\n\n```bash\nprometheus --storage.tsdb.retention.time=15d --web.enable-lifecycle\n```\n"),
        {4: {"keep": "15d"}},
    ),
    ("## Prom\n\n```yaml\nargs:\n  - --storage.tsdb.retention.time=30d\n```\n", {5: {"keep": "30d"}}),
    (
        ("## Rotation\n\n```\n/var/log/app/*.log {\n    daily\n    rotate 14\n    compress\n}\n```\n"),
        {6: {"keep": "14d"}},
    ),
    (
        ("## Rotation\n\n```conf\n/var/log/app/*.log {\n    weekly\n    rotate 8\n    maxage 90\n}\n```\n"),
        {6: {"keep": "8w"}},
    ),
    (
        ('## S3\n\n```json\n{"Rules": [{"ID": "expire",\n "Expiration": {"Days": 90},\n "Status": "Enabled"}]}\n```\n'),
        {5: {"keep": "90d"}},
    ),
    (
        ("## S3\n\n```hcl\nlifecycle_rule {\n  enabled = true\n  expiration {\n    days = 365\n  }\n}\n```\n"),
        {7: {"keep": "365d"}},
    ),
    ("## Cleanup\n\n```bash\nfind /var/backups -type f -mtime +7 -exec rm {} \\;\n```\n", {4: {"keep": "7d"}}),
    ("## Cleanup\n\n```bash\njournalctl --vacuum-time=14d\n```\n", {4: {"keep": "14d"}}),
    (
        ("## Restic\n\n```bash\nrestic forget --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --prune\n```\n"),
        {4: {"keep": "7d"}},
    ),
    (
        ("## Retention policy\n\n| Data | Retention |\n|-|-|\n| Logs | 30 days |\n| Audit | 7 years |\n"),
        {5: {"keep": "30d"}, 6: {"keep": "7 years"}},
    ),
    (
        "## Data retention\n\n- Application logs: 30 days\n- Audit logs: 7 years\n",
        {3: {"keep": "30d"}, 4: {"keep": "7 years"}},
    ),
    ("## Backups\n\n- Retention: 30 daily, 12 weekly, 12 monthly\n", {3: {}}),
    ("## Backups\n\n- Keep 7 daily backups\n- Keep 4 weekly backups\n", {3: {"keep": "7d"}, 4: {"keep": "4w"}}),
    (
        ("## Backups\n\n- Daily backups (7-day retention)\n- Weekly backups (retained 3 months)\n"),
        {3: {"keep": "7d"}, 4: {"keep": "3 months"}},
    ),
    ("## Env\n\n```bash\nLOG_RETENTION_DAYS=30\n```\n", {4: {"keep": "30d"}}),
    (
        ("## PG\n\n```sql\nDELETE FROM events WHERE created_at < CURRENT_DATE - INTERVAL '6 months';\n```\n"),
        {4: {"keep": "6 months"}},
    ),
    (("## M\n\n```sql\nDELETE FROM events WHERE created_at < NOW() - INTERVAL 30 DAY;\n```\n"), {4: {"keep": "30d"}}),
    (("## K\n\n```bash\nkafka-configs.sh --alter --add-config retention.ms=604800000\n```\n"), {}),
    ("## Recovery\n\nKeep the incident channel open for 24 hours after recovery.\n", {}),
    ("## A\n\n- Keep the maintenance page up for 30 minutes\n", {}),
    ("## Sessions\n\n- Sessions expire after 24 hours\n", {}),
    ("## B\n\n- Old dumps are removed automatically after 14 days\n", {3: {"keep": "14d"}}),
    (
        ("## B\n\n```bash\n# delete snapshots older than 30 days\naws ec2 describe-snapshots --owner self\n```\n"),
        {4: {"keep": "30d"}},
    ),
    ("## B\n\n```bash\n./cleanup.sh --older-than 90d\n```\n", {4: {"keep": "90d"}}),
    (
        ("## B\n\n```bash\naws logs put-retention-policy --log-group-name app --retention-in-days 30\n```\n"),
        {4: {"keep": "30d"}},
    ),
    (
        ("## B\n\n```bash\naws rds modify-db-instance --db-instance-identifier x --backup-retention-period 14\n```\n"),
        {4: {"keep": "14d"}},
    ),
    ("## B\n\n```yaml\nretention: 90d\n```\n", {4: {"keep": "90d"}}),
    ("## B\n\n```yaml\nretention:\n  daily: 7\n  weekly: 4\n```\n", {5: {"keep": "7d"}, 6: {"keep": "4w"}}),
    ("## B\n\n```python\ndef cleanup():\n    purge_old(days_to_keep=90)\n```\n", {}),
    (
        (
            "## B\n\n```bash\n# 1. Purge stale sessions (keep 180 days)\n"
            'kubectl exec -it deploy/app -- python -c "purge(180)"\n```\n'
        ),
        {4: {"keep": "180d"}},
    ),
]

BACKUPS: list[tuple[str, Expected]] = [
    ("## Backups\n\nThe database is backed up every night at 02:30 UTC.\n", {3: {"frequency": "daily"}}),
    (
        ("## Backup schedule\n\n- Full: weekly, Sunday 03:00\n- Incremental: daily\n- WAL: continuous\n"),
        {3: {"frequency": "weekly"}, 4: {"frequency": "daily"}, 5: {"frequency": "continuous"}},
    ),
    (
        (
            "## Backup\n\n| Type | Schedule | Retention |\n|-|-|-|\n| Full | `0 2 * * *` | 30 days |\n"
            "| Incremental | Every 6 hours | 7 days |\n"
        ),
        {5: {"frequency": "daily", "retention": "30d"}, 6: {"frequency": "every 6h", "retention": "7d"}},
    ),
    (
        (
            "## Backups\n\n```bash\n# crontab -e\n0 2 * * * /opt/scripts/backup.sh\n"
            "30 3 * * 0 pg_dumpall > /backups/all.sql\n```\n"
        ),
        {5: {"frequency": "daily"}, 6: {"frequency": "weekly"}},
    ),
    (
        ("## Backups\n\n```\n0 2 * * * /usr/local/bin/pg_backup.sh >> /var/log/backup.log\n```\n"),
        {4: {"frequency": "daily"}},
    ),
    (
        (
            "### Automated Backups\n\nBackups run automatically via cron:\n\n"
            "- **Database**: Daily at 2 AM\n- **Files**: Weekly on Sunday\n"
        ),
        {5: {"frequency": "daily"}, 6: {"frequency": "weekly"}},
    ),
    (
        ('## Velero\n\n```bash\nvelero schedule create daily --schedule="0 1 * * *" --ttl 720h\n```\n'),
        {4: {"frequency": "daily"}},
    ),
    (
        (
            "## Backups\n\n```yaml\napiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: pg-backup\n"
            'spec:\n  schedule: "0 */6 * * *"\n```\n'
        ),
        {4: {"frequency": "every 6h"}},
    ),
    ("## Backups\n\n```ini\n[Timer]\nOnCalendar=daily\nUnit=backup.service\n```\n", {}),
    (
        ('## Backup\n\n```yaml\nbackup:\n  schedule: "0 2 * * *"\n  retention: 30d\n  destination: s3://b/x\n```\n'),
        {4: {"frequency": "daily", "retention": "30d"}},
    ),
    (
        (
            "## Backup Strategy\n\n1. **Full backups**: Daily at 02:00, retained for 30 days\n"
            "2. **Transaction logs**: Every 15 minutes, retained for 7 days\n"
        ),
        {3: {"frequency": "daily", "retention": "30d"}, 4: {"frequency": "every 15min", "retention": "7d"}},
    ),
    (
        "## Overview\n\n- Automated RDS snapshots run daily with 7-day retention\n",
        {3: {"frequency": "daily", "retention": "7d"}},
    ),
    (
        ("### Database Backup\n\n**Frequency:** Daily at 3 AM\n**Retention:** 30 days\n**Location:** S3\n"),
        {1: {"frequency": "daily", "retention": "30d"}},
    ),
    (
        "### Database Backup\n\n- Frequency: hourly\n- Retention: 14 days\n",
        {1: {"frequency": "hourly", "retention": "14d"}},
    ),
    ("## Operations\n\n- [ ] Verify daily backup completed\n- [ ] Check weekly reports\n", {}),
    (("## Config\n\n```bash\n#!/bin/bash\nkubectl get all -n app -o yaml > backup/all.yaml\n```\n"), {}),
    (
        (
            "### Configuration Backup\n\n```bash\n"
            "kubectl get configmaps,secrets -n app -o yaml > /backups/config-$(date +%F).yaml\n```\n"
        ),
        {3: {}},
    ),
    (
        (
            "### Volume Backup\n\n```bash\n"
            "docker run --rm -v data:/data -v $(pwd):/backup alpine tar czf /backup/data.tar.gz /data\n"
            "```\n"
        ),
        {3: {}},
    ),
]

METRICS: list[tuple[str, Expected]] = [
    (
        ("## Alerts\n\n- CPU above 80 % for 5 minutes\n- Error rate >= 5% (critical)\n- p95 latency >= 500ms\n"),
        {3: {"critical": "above 80 % for 5 minutes"}, 4: {"critical": ">= 5%"}, 5: {"critical": ">= 500ms"}},
    ),
    (
        (
            "## Alert Thresholds\n\n| Alert | Condition | Severity |\n|-|-|-|\n"
            "| HighCPU | cpu > 80% for 5m | warning |\n| Down | up == 0 | critical |\n"
        ),
        {5: {"warning": "cpu > 80% for 5m"}, 6: {}},
    ),
    (
        ("## Alerts\n\n| Metric | Warning | Critical |\n|-|-|-|\n| CPU | 70% | 90% |\n| Queue depth | 1000 | 5000 |\n"),
        {5: {"warning": "70%", "critical": "90%"}, 6: {"warning": "1000", "critical": "5000"}},
    ),
    (("## Scaling Triggers\n\n- CPU > 70% for 1 hour → Scale up\n- Disk > 80% → Add storage\n"), {3: {}, 4: {}}),
    (
        "## Cost Alerts\n\n- Daily cost > $100: Warning\n- Daily cost > $200: Critical\n",
        {3: {"warning": "> $100"}, 4: {"critical": "> $200"}},
    ),
    (
        ("### Key alerts\n\n1. **HighErrorRate**: error rate too high\n2. **ServiceDown**: service is unreachable\n"),
        {3: {}, 4: {}},
    ),
    (
        (
            "## M\n\n```yaml\nalerts:\n  cpu_usage:\n    warning: 70\n    critical: 90\n  memory:\n"
            "    warning: 80\n    critical: 95\n```\n"
        ),
        {6: {"warning": "70", "critical": "90"}, 9: {"warning": "80", "critical": "95"}},
    ),
    (
        ("## M\n\n```yaml\nthresholds:\n  cpu_percent: 80\n  memory_percent: 85\n  error_rate: 0.05\n```\n"),
        {5: {}, 6: {}, 7: {}},
    ),
    ('## M\n\n```python\nTHRESHOLDS = {\n    "cpu": 80,\n    "disk": 90,\n}\n```\n', {5: {}, 6: {}}),
    (
        ("## SLOs\n\n| SLI | Target |\n|-|-|\n| Availability | 99.9% |\n| p99 latency | < 1s |\n"),
        {5: {"normal": "99.9%"}, 6: {"normal": "< 1s"}},
    ),
    ("### Symptoms\n\n- Response time > 5s\n- Error rate > 10%\n", {}),
    (
        (
            "## Monitoring\n\n**Warning thresholds**\n- CPU: 70%\n- Memory: 80%\n\n"
            "**Critical thresholds**\n- CPU: 90%\n- Memory: 95%\n"
        ),
        {4: {"warning": "70%", "critical": "90%"}, 5: {"warning": "80%", "critical": "95%"}},
    ),
    (
        (
            "## Key Metrics\n\n### Application\n\n- Request rate: normal 100-500 req/s\n"
            "- Response time (p95): < 200ms\n- Error rate: < 0.1%\n"
        ),
        {5: {}, 6: {"normal": "< 200ms"}, 7: {"normal": "< 0.1%"}},
    ),
    (
        ("## Budget\n\n**Alert Levels:**\n- **Warning (80%)**: email\n- **Critical (95%)**: Slack\n"),
        {4: {"warning": "80%", "critical": "95%"}},
    ),
    ("```yaml\n- alert: X\n  expr: a > 5\n  labels: {severity: critical}\n```\n", {2: {}}),
    ("## Prerequisites\n\n- Docker > 20.10\n- Memory > 8 GB\n", {}),
]

ESCALATION: list[tuple[str, Expected]] = [
    (
        (
            "## Escalation\n\n1. On-call engineer (immediately)\n2. Team lead (after 15 minutes)\n"
            "3. CTO (after 1 hour)\n"
        ),
        {3: {"within": "immediate"}, 4: {"within": "15min"}, 5: {"within": "1h"}},
    ),
    (
        ("## Escalation Policy\n\n- **Level 1** (0-15 min): On-call engineer\n- **Level 2** (15-30 min): Team lead\n"),
        {3: {"within": "15min"}, 4: {}},
    ),
    (
        (
            "## Escalation Procedures\n\n### Level 1: On-Call\n- Response: 15 minutes\n\n"
            "### Level 2: Lead\n- Response: 30 minutes\n"
        ),
        {3: {"within": "15min"}, 6: {"within": "30min"}},
    ),
    (
        (
            "## Escalation path\n\n| Level | Who | When |\n|-|-|-|\n| 1 | On-call | Immediately |\n"
            "| 2 | Lead | After 30 minutes |\n"
        ),
        {5: {"within": "immediate"}, 6: {"within": "30min"}},
    ),
    (
        (
            "## Severity\n\n| Severity | Response | Escalation |\n|-|-|-|\n"
            "| P1 | 15 min | On-call → Lead → CTO |\n| P2 | 1 h | On-call → Lead |\n"
        ),
        {5: {}, 6: {}},
    ),
    (
        (
            "## Escalation\n\n- First: PagerDuty primary on-call\n- Second: backup on-call after 10 min\n"
            "- Third: engineering manager after 30 min\n"
        ),
        {3: {}, 4: {"within": "10min"}, 5: {"within": "30min"}},
    ),
    (("## Incident\n\nEscalate to the engineering manager if unresolved after 30 minutes.\n"), {}),
    (
        (
            "## PagerDuty\n\n```yaml\nescalation_policy:\n  - level: 1\n    target: on-call\n"
            "    timeout: 15m\n  - level: 2\n    target: lead\n    timeout: 30m\n```\n"
        ),
        {5: {"within": "15min"}, 8: {"within": "30min"}},
    ),
    (
        ("## Escalation Chain\n\n```\nL1 On-call\n   ↓ 15 min\nL2 Lead\n   ↓ 30 min\nL3 CTO\n```\n"),
        {4: {}, 6: {}, 8: {}},
    ),
    ("## When to escalate\n\n- Data loss suspected\n- Not resolved within 30 minutes\n", {}),
    (
        ("## Escalation\n\n**0-15 minutes**: On-call engineer\n**15-30 minutes**: Team lead\n**30+ minutes**: CTO\n"),
        {3: {}, 4: {}, 5: {}},
    ),
    ("### Escalation\n\n- **Tier 1**: Support team\n- **Tier 2**: Engineering\n", {3: {}, 4: {}}),
    (("### Escalation Contacts\n\n| Role | Contact | Phone |\n|-|-|-|\n| DBA | dba@x.com | 555-123-4567 |\n"), {}),
]


@pytest.mark.parametrize(("text", "expected"), RETENTION)
def test_it_reads_every_form_of_retention_and_nothing_else(text: str, expected: Expected) -> None:
    found = as_json(read_manual(text, "test.md"))["retention"]
    assert [item["line"] for item in found] == list(expected)
    for item in found:
        assert {key: item[key] for key in expected[item["line"]]} == expected[item["line"]]


@pytest.mark.parametrize(("text", "expected"), BACKUPS)
def test_it_reads_every_form_of_backups_and_nothing_else(text: str, expected: Expected) -> None:
    found = as_json(read_manual(text, "test.md"))["backups"]
    assert [item["line"] for item in found] == list(expected)
    for item in found:
        assert {key: item[key] for key in expected[item["line"]]} == expected[item["line"]]


@pytest.mark.parametrize(("text", "expected"), METRICS)
def test_it_reads_every_form_of_metrics_and_nothing_else(text: str, expected: Expected) -> None:
    found = as_json(read_manual(text, "test.md"))["metrics"]
    assert [item["line"] for item in found] == list(expected)
    for item in found:
        assert {key: item[key] for key in expected[item["line"]]} == expected[item["line"]]


@pytest.mark.parametrize(("text", "expected"), ESCALATION)
def test_it_reads_every_form_of_escalation_and_nothing_else(text: str, expected: Expected) -> None:
    found = as_json(read_manual(text, "test.md"))["escalation"]
    assert [item["line"] for item in found] == list(expected)
    for item in found:
        assert {key: item[key] for key in expected[item["line"]]} == expected[item["line"]]
