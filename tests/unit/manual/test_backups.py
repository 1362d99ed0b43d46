"""Backups: declared in lists, tables and schedules, or taken by scripts."""

from __future__ import annotations

from opsbook.manual.reading import Manual, read_manual


def read(text: str) -> Manual:
    return read_manual(text, "test.md")


def test_it_reads_a_backup_from_a_titled_list() -> None:
    backup = read(
        "## Backups\n\n**Nightly:**\n- **Time**: 2:30 AM UTC\n- **Retention**: 10 days\n- **Type**: full dump\n"
    ).backups
    assert [(each.what, each.frequency, each.time, each.retention, each.line) for each in backup] == [
        ("full dump", "daily", "02:30", "10d", 3)
    ]


def test_it_reads_backups_from_a_table() -> None:
    found = read(
        "## Sicherung\n\n| Was | Häufigkeit | Aufbewahrung |\n|-|-|-|\n| Datenbank | täglich | 14 Tage |\n"
    ).backups
    assert [(each.what, each.frequency, each.retention) for each in found] == [("Datenbank", "daily", "14d")]


def test_it_reads_a_snapshot_and_a_log_from_one_line() -> None:
    found = read("## Backup Strategy\n\n- **Database**: Daily snapshots, WAL archiving\n").backups
    assert [each.frequency for each in found] == ["daily", "continuous"]


def test_it_reads_backups_from_crontab_and_cronjob() -> None:
    text = (
        "## Backups\n\n```cron\n# Full backup\n15 2 * * * "
        "/opt/backup.sh\n```\n\n```yaml\nkind: CronJob\nmetadata:\n  name: "
        "weekly-backup\nspec:\n  schedule: '0 4 * * 0'\n```\n"
    )
    assert [(each.what, each.frequency, each.time, each.line) for each in read(text).backups] == [
        ("Full backup", "daily", "02:15", 5),
        ("weekly-backup", "weekly", "04:00", 9),
    ]


def test_it_takes_a_script_for_the_backup_where_nothing_is_declared() -> None:
    text = (
        "## Backup\n\n### Database Backup\n\n```bash\npg_dump shop > b.sql\naws s3 cp "
        "b.sql s3://b/db/\nfind /b -mtime +30 -delete\n```\n"
    )
    found = read(text).backups
    assert [(each.what, each.frequency, each.retention, each.destination) for each in found] == [
        ("Database Backup", "not stated", "30d", "s3://b/db/")
    ]


def test_it_takes_no_safety_copy_for_a_backup() -> None:
    assert (
        read(
            "## Update\n\n```bash\n# 1. Safety backup\npg_dump shop > b.sql\n# 2. Update\nhelm upgrade x y\n```\n"
        ).backups
        == ()
    )


def test_it_reads_backups_on_demand_from_a_table() -> None:
    found = read(
        "## Backup\n\n| Kind | Schedule | Retention |\n|-|-|-|\n| Dump | On-demand | by hand |\n| Notes | – | – |\n"
    ).backups
    assert [(each.what, each.frequency) for each in found] == [("Dump", "not stated")]
