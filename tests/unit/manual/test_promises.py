"""Severities, escalation, maintenance windows and retention."""

from __future__ import annotations

import pytest

from opsbook.manual.reading import Manual, read_manual


def read(text: str) -> Manual:
    return read_manual(text, "test.md")


def test_it_reads_severities_from_a_table() -> None:
    found = read(
        "## Incidents\n\n| Severity | Response | Resolution |\n|-|-|-|\n| P0 | 15 "
        "minutes | 1 hour |\n| P1 | 1 hour | 1 day |\n"
    ).severities
    assert [(each.name, each.response, each.resolution) for each in found] == [
        ("P0", "15min", "1h"),
        ("P1", "1h", "1d"),
    ]


def test_it_joins_what_a_list_explains_with_what_a_table_times() -> None:
    text = (
        "## Incident severity\n\n- **P0**: down\n- **P1**: slow\n\n### Response "
        "times\n\n| Severity | Response |\n|-|-|\n| P0 | 5 min |\n| P1 | 1 h |\n"
    )
    assert [each.line for each in read(text).severities] == [10, 11]


def test_it_reads_severities_from_bold_titles() -> None:
    text = (
        "## Incident Classification\n\n**P1 - Critical (Response: Immediate)**\n- "
        "down\n\n**P2 - High (Response: 30 minutes)**\n- slow\n"
    )
    assert [(each.name, each.response) for each in read(text).severities] == [
        ("P1 - Critical", "immediate"),
        ("P2 - High", "30min"),
    ]


def test_it_reads_severities_from_headings_with_their_times_below() -> None:
    text = (
        "# Incidentes\n\n## Severidad 1\n- Tiempo de respuesta: 5 minutos\n\n## "
        "Severidad 2\n- Tiempo de respuesta: 1 hora\n"
    )
    assert [each.response for each in read(text).severities] == ["5min", "1h"]


def test_it_reads_escalation_from_arrows() -> None:
    found = read("**Escalation path**: On-call → Lead (30 min) → CTO\n").escalation
    assert [(each.level, each.who, each.within) for each in found] == [
        ("1", "On-call", ""),
        ("2", "Lead", "30min"),
        ("3", "CTO", ""),
    ]


def test_it_reads_escalation_from_levels() -> None:
    text = "## Escalation\n\n**Level 1 - On-call:**\n- Responds within 5 minutes\n\n**Level 2 - Lead:**\n- Decides\n"
    assert [(each.level, each.who, each.within, each.line) for each in read(text).escalation] == [
        ("Level 1", "On-call", "5min", 3),
        ("Level 2", "Lead", "", 6),
    ]


def test_it_reads_escalation_from_a_table() -> None:
    text = (
        "## Escalation Matrix\n\n| Role | Contact | Escalation Time |\n|-|-|-|\n| "
        "On-call | a@x.example | immediate |\n| Lead | b@x.example | 30 minutes |\n"
    )
    assert [(each.level, each.within, each.contact) for each in read(text).escalation] == [
        ("On-call", "immediate", "a@x.example"),
        ("Lead", "30min", "b@x.example"),
    ]


def test_it_takes_no_severity_table_for_an_escalation_path() -> None:
    text = (
        "## Incident Levels\n\n| Level | Response Time | Escalation |\n|-|-|-|\n| P1 | 5 "
        "min | CTO |\n| P2 | 1 h | Lead |\n"
    )
    manual = read(text)
    assert (len(manual.severities), manual.escalation) == (2, ())


@pytest.mark.parametrize(
    ("text", "day", "time", "notice"),
    [
        (
            "## Maintenance\n\n**Weekly Maintenance Window (Sunday 02:00-04:00 UTC):**\n- Updates\n",
            "Sunday",
            "02:00-04:00",
            "",
        ),
        (
            "## Scheduled Maintenance\n\n- **When**: Every Friday 1:00-3:00 AM UTC\n- "
            "**Notification**: 1 week advance notice\n",
            "Friday",
            "01:00-03:00",
            "1w",
        ),
        (
            "## Maintenance\n\n**Standard window:**\n- **Day**: Sunday\n- **Time**: 2:00 AM "
            "- 6:00 AM UTC\n- **Notice**: 7 days\n",
            "Sunday",
            "02:00-06:00",
            "7d",
        ),
        ("Our maintenance window is Tuesday 22:00–23:30 UTC.\n", "Tuesday", "22:00-23:30", ""),
        (
            "## Wartungsfenster\n\n- **Wann**: Mittwochs 23:00 bis 01:00 Uhr\n- **Ankündigung**: 5 Tage vorher\n",
            "Wednesday",
            "23:00-01:00",
            "5d",
        ),
        ("## 维护窗口\n\n- **时间**: 每周日 02:00-04:00\n- **通知**: 提前 3 天\n", "Sunday", "02:00-04:00", "3d"),
    ],
)
def test_it_reads_maintenance_windows(text: str, day: str, time: str, notice: str) -> None:
    window = read(text).maintenance_windows[0]
    assert (window.day, window.time, window.notice) == (day, time, notice)


@pytest.mark.parametrize(
    ("text", "what", "keep"),
    [
        ("```sql\nDELETE FROM logs WHERE at < now() - interval '90 days';\n```\n", "logs", "90d"),
        ("```bash\nfind /var/log/app -name '*.gz' -mtime +45 -delete\n```\n", "/var/log/app *.gz", "45d"),
        ("```python\nAUDIT_LOG_RETENTION_DAYS = 365\n```\n", "audit log", "365d"),
        ("## Data\n\n- Audit logs are kept for 2 years\n", "audit logs", "2 years"),
        ("## X\n\n| Data | Retention |\n|-|-|\n| Events | 30 days |\n", "events", "30d"),
        ("## Retention\n\n- **Metrics**: 13 months\n", "metrics", "13 months"),
        ("## Хранение\n\n- **Журналы**: хранить 60 дней\n", "журналы", "60d"),
    ],
)
def test_it_reads_retention(text: str, what: str, keep: str) -> None:
    rule = read(text).retention[0]
    assert (rule.what, rule.keep) == (what, keep)


def test_it_takes_no_list_of_people_for_an_escalation_path() -> None:
    text = (
        "## Escalation Contacts\n\n| Role | Contact | Escalation |\n|-|-|-|\n| SRE | "
        "a@x.example | Phone |\n| DBA | b@x.example | Mail |\n"
    )
    manual = read(text)
    assert (manual.escalation, len(manual.contacts)) == ((), 2)


def test_it_reads_retention_from_a_japanese_table() -> None:
    found = read("## 保存\n\n| 種別 | 保持期間 |\n|-|-|\n| ログ | 90日 |\n").retention
    assert [(each.what, each.keep, each.line) for each in found] == [("ログ", "90d", 5)]


def test_it_reads_retention_from_the_script_of_a_manifest() -> None:
    text = (
        "```yaml\napiVersion: batch/v1\nkind: CronJob\nspec:\n  args:\n    - |\n"
        "      find /backup -name '*.gz' -mtime +21 -delete\n      find /backup -mtime +3 -print\n```\n"
    )
    assert [(each.what, each.keep, each.line) for each in read(text).retention] == [("/backup *.gz", "21d", 7)]


def test_an_escalation_matrix_names_whom_and_not_when() -> None:
    text = (
        "## Eskalations-Matrix\n\n| Schwere | Zeit bis Eskalation | Kontakt |\n|-|-|-|\n"
        "| Kritisch | Sofort | Leitung |\n| Hoch | 30 Minuten | Technik |\n"
    )
    assert [(each.level, each.who) for each in read(text).escalation] == [("Kritisch", "Leitung"), ("Hoch", "Technik")]


def test_a_window_takes_its_notice_from_what_is_done_before_it() -> None:
    text = (
        "### Monthly Maintenance Window\n\n**Schedule**: First Sunday of each month, 2:00 AM - 6:00 AM UTC\n\n"
        "**Before**:\n- Inform customers 3 days in advance\n- Inform the lead within 2 hours\n"
    )
    assert [(each.day, each.notice) for each in read(text).maintenance_windows] == [("Sunday", "3d")]
