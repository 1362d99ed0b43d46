"""The forms in which manuals say what is backed up and kept, and what only looks like it."""

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


RETENTION: list[tuple[str, Expected]] = [
    ("## Backups\n\nBackups are kept for 30 days.\n", [(3, {"keep": "30d"})]),
    ("## Logs\n\nLogs are rotated daily and retained for two weeks.\n", [(3, {"keep": "2w"})]),
    ("## Loki\n\n```yaml\nlimits_config:\n  retention_period: 744h\n```\n", [(5, {"keep": "744h"})]),
    (
        ("## Prom\n\n```bash\nprometheus --storage.tsdb.retention.time=15d --web.enable-lifecycle\n```\n"),
        [(4, {"keep": "15d"})],
    ),
    ("## Prom\n\n```yaml\nargs:\n  - --storage.tsdb.retention.time=30d\n```\n", [(5, {"keep": "30d"})]),
    (
        ("## Rotation\n\n```\n/var/log/app/*.log {\n    daily\n    rotate 14\n    compress\n}\n```\n"),
        [(6, {"keep": "14d"})],
    ),
    (
        ("## Rotation\n\n```conf\n/var/log/app/*.log {\n    weekly\n    rotate 8\n    maxage 90\n}\n```\n"),
        [(6, {"keep": "8w"})],
    ),
    (
        ('## S3\n\n```json\n{"Rules": [{"ID": "expire",\n "Expiration": {"Days": 90},\n "Status": "Enabled"}]}\n```\n'),
        [(5, {"keep": "90d"})],
    ),
    (
        ("## S3\n\n```hcl\nlifecycle_rule {\n  enabled = true\n  expiration {\n    days = 365\n  }\n}\n```\n"),
        [(7, {"keep": "365d"})],
    ),
    ("## Cleanup\n\n```bash\nfind /var/backups -type f -mtime +7 -exec rm {} \\;\n```\n", [(4, {"keep": "7d"})]),
    ("## Cleanup\n\n```bash\njournalctl --vacuum-time=14d\n```\n", [(4, {"keep": "14d"})]),
    (
        ("## Restic\n\n```bash\nrestic forget --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --prune\n```\n"),
        [(4, {"keep": "7d"})],
    ),
    (
        ("## Retention policy\n\n| Data | Retention |\n|-|-|\n| Logs | 30 days |\n| Audit | 7 years |\n"),
        [(5, {"keep": "30d"}), (6, {"keep": "7 years"})],
    ),
    (
        "## Data retention\n\n- Application logs: 30 days\n- Audit logs: 7 years\n",
        [(3, {"keep": "30d"}), (4, {"keep": "7 years"})],
    ),
    ("## Backups\n\n- Retention: 30 daily, 12 weekly, 12 monthly\n", [(3, {})]),
    ("## Backups\n\n- Keep 7 daily backups\n- Keep 4 weekly backups\n", [(3, {"keep": "7d"}), (4, {"keep": "4w"})]),
    (
        ("## Backups\n\n- Daily backups (7-day retention)\n- Weekly backups (retained 3 months)\n"),
        [(3, {"keep": "7d"}), (4, {"keep": "3 months"})],
    ),
    ("## Env\n\n```bash\nLOG_RETENTION_DAYS=30\n```\n", [(4, {"keep": "30d"})]),
    (
        ("## PG\n\n```sql\nDELETE FROM events WHERE created_at < CURRENT_DATE - INTERVAL '6 months';\n```\n"),
        [(4, {"keep": "6 months"})],
    ),
    (("## M\n\n```sql\nDELETE FROM events WHERE created_at < NOW() - INTERVAL 30 DAY;\n```\n"), [(4, {"keep": "30d"})]),
    (("## K\n\n```bash\nkafka-configs.sh --alter --add-config retention.ms=604800000\n```\n"), []),
    ("## Recovery\n\nKeep the incident channel open for 24 hours after recovery.\n", []),
    ("## A\n\n- Keep the maintenance page up for 30 minutes\n", []),
    ("## Sessions\n\n- Sessions expire after 24 hours\n", []),
    ("## B\n\n- Old dumps are removed automatically after 14 days\n", [(3, {"keep": "14d"})]),
    (
        ("## B\n\n```bash\n# delete snapshots older than 30 days\naws ec2 describe-snapshots --owner self\n```\n"),
        [(4, {"keep": "30d"})],
    ),
    ("## B\n\n```bash\n./cleanup.sh --older-than 90d\n```\n", [(4, {"keep": "90d"})]),
    (
        ("## B\n\n```bash\naws logs put-retention-policy --log-group-name app --retention-in-days 30\n```\n"),
        [(4, {"keep": "30d"})],
    ),
    (
        ("## B\n\n```bash\naws rds modify-db-instance --db-instance-identifier x --backup-retention-period 14\n```\n"),
        [(4, {"keep": "14d"})],
    ),
    ("## B\n\n```yaml\nretention: 90d\n```\n", [(4, {"keep": "90d"})]),
    ("## B\n\n```yaml\nretention:\n  daily: 7\n  weekly: 4\n```\n", [(5, {"keep": "7d"}), (6, {"keep": "4w"})]),
    ("## B\n\n```python\ndef cleanup():\n    purge_old(days_to_keep=90)\n```\n", []),
    (
        (
            "## B\n\n```bash\n# 1. Purge stale sessions (keep 180 days)\n"
            'kubectl exec -it deploy/app -- python -c "purge(180)"\n```\n'
        ),
        [(4, {"keep": "180d"})],
    ),
    (("## Storage\n\nWe keep application logs for 90 days and audit logs for seven years.\n"), [(3, {"keep": "90d"})]),
    ("## Storage\n\n**Retention:** 30 days (daily), 12 weeks (weekly)\n", [(3, {"keep": "30d"})]),
    ("## Backup\n\n- Daily: keep 7\n- Weekly: keep 4\n", [(3, {"keep": "7d"}), (4, {"keep": "4w"})]),
    (("## Backup\n\n| Type | Frequency | Kept for |\n|-|-|-|\n| Full | Daily | 2 weeks |\n"), [(5, {"keep": "2w"})]),
    ("## Backup\n\n| Tier | Copies |\n|-|-|\n| Daily | 7 |\n", []),
    ("## Logs\n\n- **Log retention**: 30 days hot, 1 year cold\n", [(3, {"keep": "30d"})]),
    (
        ('## ES\n\n```json\n{"policy":{"phases":{"delete":{"min_age":"30d","actions":{"delete":{}}}}}}\n```\n'),
        [(4, {"keep": "30d"})],
    ),
    (('## ES\n\n```bash\ncurator_cli delete_indices --filter_list \'[{"unit":"days","unit_count":30}]\'\n```\n'), []),
    (('## Docker\n\n```yaml\nlogging:\n  options:\n    max-size: "10m"\n    max-file: "3"\n```\n'), []),
    ("## X\n\n```bash\nKEEP_DAYS=14\nfind $DIR -type f -mtime +$KEEP_DAYS -delete\n```\n", [(4, {"keep": "14d"})]),
    ("## X\n\n```bash\nls -t /backups/*.gz | tail -n +8 | xargs rm -f\n```\n", []),
    (
        (
            "## X\n\n```bash\naws s3api put-bucket-lifecycle-configuration \\\n"
            ' --lifecycle \'{"Rules":[{"Expiration":{"Days":30}}]}\'\n```\n'
        ),
        [(5, {"keep": "30d"})],
    ),
    ("## X\n\n```sql\nSELECT drop_chunks('metrics', INTERVAL '90 days');\n```\n", [(4, {"keep": "90d"})]),
    ("## X\n\nMetrics retention is 15 days in Prometheus and 1 year in Thanos.\n", [(3, {"keep": "15d"})]),
    ("## X\n\nWait 30 minutes before deleting the old pods.\n", []),
    ("## X\n\n- Delete the pod after 5 minutes\n", []),
    ("## X\n\n- Archive logs older than 90 days\n", [(3, {"keep": "90d"})]),
    ("## X\n\n- [ ] Purge logs older than 90 days\n", []),
    ("## X\n\nGelöschte Daten werden 30 Tage aufbewahrt.\n", [(3, {"keep": "30d"})]),
    ("## X\n\nLos respaldos se conservan durante 15 días.\n", [(3, {"keep": "15d"})]),
    ("## X\n\n备份保留 30 天。\n", [(3, {"keep": "30d"})]),
]

BACKUPS: list[tuple[str, Expected]] = [
    ("## Backups\n\nThe database is backed up every night at 02:30 UTC.\n", [(3, {"frequency": "daily"})]),
    (
        ("## Backup schedule\n\n- Full: weekly, Sunday 03:00\n- Incremental: daily\n- WAL: continuous\n"),
        [(3, {"frequency": "weekly"}), (4, {"frequency": "daily"}), (5, {"frequency": "continuous"})],
    ),
    (
        (
            "## Backup\n\n| Type | Schedule | Retention |\n|-|-|-|\n| Full | `0 2 * * *` | 30 days |\n"
            "| Incremental | Every 6 hours | 7 days |\n"
        ),
        [(5, {"frequency": "daily", "retention": "30d"}), (6, {"frequency": "every 6h", "retention": "7d"})],
    ),
    (
        (
            "## Backups\n\n```bash\n# crontab -e\n0 2 * * * /opt/scripts/backup.sh\n"
            "30 3 * * 0 pg_dumpall > /backups/all.sql\n```\n"
        ),
        [(5, {"frequency": "daily"}), (6, {"frequency": "weekly"})],
    ),
    (
        ("## Backups\n\n```\n0 2 * * * /usr/local/bin/pg_backup.sh >> /var/log/backup.log\n```\n"),
        [(4, {"frequency": "daily"})],
    ),
    (
        (
            "### Automated Backups\n\nBackups run automatically via cron:\n\n"
            "- **Database**: Daily at 2 AM\n- **Files**: Weekly on Sunday\n"
        ),
        [(5, {"frequency": "daily"}), (6, {"frequency": "weekly"})],
    ),
    (
        ('## Velero\n\n```bash\nvelero schedule create daily --schedule="0 1 * * *" --ttl 720h\n```\n'),
        [(4, {"frequency": "daily"})],
    ),
    (
        (
            "## Backups\n\n```yaml\napiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: pg-backup\n"
            'spec:\n  schedule: "0 */6 * * *"\n```\n'
        ),
        [(4, {"frequency": "every 6h"})],
    ),
    ("## Backups\n\n```ini\n[Timer]\nOnCalendar=daily\nUnit=backup.service\n```\n", []),
    (
        ('## Backup\n\n```yaml\nbackup:\n  schedule: "0 2 * * *"\n  retention: 30d\n  destination: s3://b/x\n```\n'),
        [(4, {"frequency": "daily", "retention": "30d"})],
    ),
    (
        (
            "## Backup Strategy\n\n1. **Full backups**: Daily at 02:00, retained for 30 days\n"
            "2. **Transaction logs**: Every 15 minutes, retained for 7 days\n"
        ),
        [(3, {"frequency": "daily", "retention": "30d"}), (4, {"frequency": "every 15min", "retention": "7d"})],
    ),
    (
        "## Overview\n\n- Automated RDS snapshots run daily with 7-day retention\n",
        [(3, {"frequency": "daily", "retention": "7d"})],
    ),
    (
        ("### Database Backup\n\n**Frequency:** Daily at 3 AM\n**Retention:** 30 days\n**Location:** S3\n"),
        [(1, {"frequency": "daily", "retention": "30d"})],
    ),
    (
        "### Database Backup\n\n- Frequency: hourly\n- Retention: 14 days\n",
        [(1, {"frequency": "hourly", "retention": "14d"})],
    ),
    ("## Operations\n\n- [ ] Verify daily backup completed\n- [ ] Check weekly reports\n", []),
    (("## Config\n\n```bash\n#!/bin/bash\nkubectl get all -n app -o yaml > backup/all.yaml\n```\n"), []),
    (
        (
            "### Configuration Backup\n\n```bash\n"
            "kubectl get configmaps,secrets -n app -o yaml > /backups/config-$(date +%F).yaml\n```\n"
        ),
        [(3, {})],
    ),
    (
        (
            "### Volume Backup\n\n```bash\n"
            "docker run --rm -v data:/data -v $(pwd):/backup alpine tar czf /backup/data.tar.gz /data\n"
            "```\n"
        ),
        [(3, {})],
    ),
    ("## Backup Strategy\n\n**Automated daily backups** at 02:00 UTC to S3\n", [(3, {"frequency": "daily"})]),
    (
        (
            "## Backup & Restore\n\n- **PostgreSQL**: automated daily snapshots, 30-day retention\n"
            "- **Redis**: RDB snapshot every 6 hours\n- **Uploads**: replicated to S3 continuously\n"
        ),
        [
            (3, {"frequency": "daily", "retention": "30d"}),
            (4, {"frequency": "every 6h"}),
            (5, {"frequency": "continuous"}),
        ],
    ),
    (
        ("## Backup\n\n```bash\n# Daily at 3am\n0 3 * * * root /usr/local/bin/backup-db.sh\n```\n"),
        [(5, {"frequency": "daily"})],
    ),
    (
        (
            "### Backup Schedule\n\n1. Daily full backup at 02:00 UTC (retained 7 days)\n"
            "2. Weekly full backup on Sundays (retained 4 weeks)\n"
        ),
        [(3, {"frequency": "daily", "retention": "7d"}), (4, {"frequency": "weekly", "retention": "4w"})],
    ),
    (
        "## Sicherung\n\n- Datenbank: täglich um 02:00 Uhr, 14 Tage Aufbewahrung\n",
        [(3, {"frequency": "daily", "retention": "14d"})],
    ),
    ("## Troubleshooting\n\n### Backup failed\n\n```bash\n./backup.sh\n```\n", []),
    ("## Checks\n\nVerify that backups ran daily this week.\n", []),
    ("### Create a backup\n\n```bash\npg_dump -Fc app > app.dump\n```\n", [(3, {})]),
    (
        (
            "### Backup Postgres\n\n```bash\n"
            "docker compose exec -T db pg_dump -U app app | gzip > backup_$(date +%F).sql.gz\n```\n"
        ),
        [(3, {})],
    ),
    ("### Before the upgrade\n\n```bash\npg_dump -Fc app > pre-upgrade.dump\n```\n", []),
]


@pytest.mark.parametrize(("text", "expected"), RETENTION)
def test_it_reads_every_form_of_retention_and_nothing_else(text: str, expected: Expected) -> None:
    assert_reads("retention", text, expected)


@pytest.mark.parametrize(("text", "expected"), BACKUPS)
def test_it_reads_every_form_of_backups_and_nothing_else(text: str, expected: Expected) -> None:
    assert_reads("backups", text, expected)
