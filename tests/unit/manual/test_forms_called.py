"""The forms in which manuals say who is called, when work is done and how, and what only looks like it."""

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


ESCALATION: list[tuple[str, Expected]] = [
    (
        (
            "## Escalation\n\n1. On-call engineer (immediately)\n2. Team lead (after 15 minutes)\n"
            "3. CTO (after 1 hour)\n"
        ),
        [(3, {"within": "immediate"}), (4, {"within": "15min"}), (5, {"within": "1h"})],
    ),
    (
        ("## Escalation Policy\n\n- **Level 1** (0-15 min): On-call engineer\n- **Level 2** (15-30 min): Team lead\n"),
        [(3, {"within": "15min"}), (4, {})],
    ),
    (
        (
            "## Escalation Procedures\n\n### Level 1: On-Call\n- Response: 15 minutes\n\n"
            "### Level 2: Lead\n- Response: 30 minutes\n"
        ),
        [(3, {"within": "15min"}), (6, {"within": "30min"})],
    ),
    (
        (
            "## Escalation path\n\n| Level | Who | When |\n|-|-|-|\n| 1 | On-call | Immediately |\n"
            "| 2 | Lead | After 30 minutes |\n"
        ),
        [(5, {"within": "immediate"}), (6, {"within": "30min"})],
    ),
    (
        (
            "## Severity\n\n| Severity | Response | Escalation |\n|-|-|-|\n"
            "| P1 | 15 min | On-call → Lead → CTO |\n| P2 | 1 h | On-call → Lead |\n"
        ),
        [(5, {}), (6, {})],
    ),
    (
        (
            "## Escalation\n\n- First: PagerDuty primary on-call\n- Second: backup on-call after 10 min\n"
            "- Third: engineering manager after 30 min\n"
        ),
        [(3, {}), (4, {"within": "10min"}), (5, {"within": "30min"})],
    ),
    (("## Incident\n\nEscalate to the engineering manager if unresolved after 30 minutes.\n"), []),
    (
        (
            "## PagerDuty\n\n```yaml\nescalation_policy:\n  - level: 1\n    target: on-call\n"
            "    timeout: 15m\n  - level: 2\n    target: lead\n    timeout: 30m\n```\n"
        ),
        [(5, {"within": "15min"}), (8, {"within": "30min"})],
    ),
    (
        ("## Escalation Chain\n\n```\nL1 On-call\n   ↓ 15 min\nL2 Lead\n   ↓ 30 min\nL3 CTO\n```\n"),
        [(4, {}), (6, {}), (8, {})],
    ),
    ("## When to escalate\n\n- Data loss suspected\n- Not resolved within 30 minutes\n", []),
    (
        ("## Escalation\n\n**0-15 minutes**: On-call engineer\n**15-30 minutes**: Team lead\n**30+ minutes**: CTO\n"),
        [(3, {}), (4, {}), (5, {})],
    ),
    ("### Escalation\n\n- **Tier 1**: Support team\n- **Tier 2**: Engineering\n", [(3, {}), (4, {})]),
    (("### Escalation Contacts\n\n| Role | Contact | Phone |\n|-|-|-|\n| DBA | dba@x.com | 555-123-4567 |\n"), []),
    (
        (
            "## On-call & Escalation\n\n1. Primary on-call: PagerDuty, 5 min\n"
            "2. Secondary on-call: PagerDuty, 15 min\n3. Engineering manager: phone, 30 min\n"
        ),
        [(3, {"within": "5min"}), (4, {"within": "15min"}), (5, {"within": "30min"})],
    ),
    (
        ("## Escalation\n\n- **L1**: Ops (0-30 min)\n- **L2**: Dev (30-60 min)\n- **L3**: Architect (60+ min)\n"),
        [(3, {"within": "30min"}), (4, {}), (5, {})],
    ),
    ("## Escalation path\n\nOn-call engineer → Team lead (15 min) → CTO (1 h)\n", [(3, {}), (3, {}), (3, {})]),
    (
        (
            "## Incident Response\n\n### Escalation\n\n"
            "If the incident is not resolved in 30 minutes, escalate to the team lead. After 1 hour, page the CTO.\n"
        ),
        [],
    ),
    (
        (
            "## Eskalation\n\n| Stufe | Wer | Nach |\n|-|-|-|\n| 1 | Bereitschaft | sofort |\n"
            "| 2 | Teamleitung | 30 Minuten |\n"
        ),
        [(5, {"within": "immediate"}), (6, {"within": "30min"})],
    ),
    (
        (
            "## Escalation Matrix\n\n| Severity | Primary | Secondary | Time |\n|-|-|-|-|\n"
            "| P1 | On-call | CTO | 15 min |\n| P2 | On-call | Lead | 1 h |\n"
        ),
        [(5, {"within": "15min"}), (6, {"within": "1h"})],
    ),
]

MAINTENANCE_WINDOWS: list[tuple[str, Expected]] = [
    ("## Maintenance\n\n**Window**: Every Sunday 02:00–04:00 UTC\n**Notice**: 72 hours\n", [(3, {"notice": "72h"})]),
    (
        ("## Scheduled maintenance\n\nMaintenance is performed every Saturday between 01:00 and 03:00 UTC.\n"),
        [(3, {"day": "Saturday", "time": "01:00-03:00"})],
    ),
    (
        ("## Maintenance Windows\n\n- **Production**: Saturdays 22:00 - 02:00 EST\n- **Staging**: any time\n"),
        [(3, {"day": "Saturday"})],
    ),
    (
        (
            "## Maintenance Windows\n\n| Environment | Window | Notice |\n|-|-|-|\n"
            "| Prod | Sunday 02:00-06:00 UTC | 5 days |\n"
        ),
        [(5, {"notice": "5d"})],
    ),
    ("## Maintenance\n\n### Weekly (Sundays 3 AM)\n\n```bash\nvacuumdb app\n```\n", [(3, {"day": "Sunday"})]),
    (
        ("## Maintenance windows\n\n- Weekly: Sunday 02:00-04:00 UTC\n- Monthly: first Saturday 22:00-02:00 UTC\n"),
        [(3, {"day": "Sunday", "time": "02:00-04:00"}), (4, {"day": "Saturday"})],
    ),
    (
        (
            "### Planned maintenance\n\n- **When:** Sundays, 2-4 AM UTC\n"
            "- **Notification:** 48 hours before via status page\n"
        ),
        [(3, {"day": "Sunday", "time": "02:00-04:00", "notice": "48h"})],
    ),
]

CONTACTS: list[tuple[str, Expected]] = [
    ("## Contacts\n\n- On-call: +1 555 123 4567\n- Slack: #ops\n- Email: ops@x.com\n", [(3, {}), (4, {}), (5, {})]),
    ("## On-Call\n\n| Role | Name | Contact |\n|-|-|-|\n| Primary | Ann | ann@x.com |\n", [(5, {})]),
    (("## Emergency Contacts\n\n**Primary On-Call**: ops@x.com\n**Secondary**: dev@x.com\n"), [(3, {}), (4, {})]),
    ("## Setup\n\n- Email: admin@x.com for the seed user\n", []),
    (
        (
            "## Emergency Contacts\n\n| Name | Role | Phone | Email |\n|-|-|-|-|\n"
            "| Ann | Lead | +1-555-0100 | ann@x.com |\n| Bob | DBA | +1-555-0101 | bob@x.com |\n"
        ),
        [(5, {}), (6, {})],
    ),
    (
        ("## Support\n\n- GitHub issues: https://github.com/x/y/issues\n- Email: support@x.com\n- Slack: #support\n"),
        [(4, {}), (5, {})],
    ),
    (
        (
            "## Contacts\n\n- **DevOps Team**: devops@x.com\n- **On-call**: see PagerDuty\n"
            "- **Vendor**: [vendor portal](https://v.com)\n"
        ),
        [(3, {}), (4, {}), (5, {})],
    ),
    ("### On-call contacts\n\nPrimary: +1-555-0100\nSecondary: +1-555-0101\n", [(3, {}), (4, {})]),
]

PROCEDURES: list[tuple[str, Expected]] = [
    ("## Deploy\n\n### Steps\n\n1. Pull\n2. Restart\n3. Check\n", [(3, {})]),
    (("## Restart the API\n\n1. Drain:\n\n   ```bash\n   kubectl drain n1\n   ```\n\n2. Restart\n"), [(1, {})]),
    (
        ("## Install\n\n### Step 1: Get\n\n```bash\ngit clone x\n```\n\n### Step 2: Run\n\n```bash\nmake run\n```\n"),
        [(1, {})],
    ),
    ("## Config\n\n```yaml\na: 1\n```\n", []),
    ("## Env\n\n```bash\nexport A=1\nexport B=2\n```\n", []),
    (
        (
            "## Runbooks\n\n### High CPU\n\n#### Diagnosis\n\n```bash\ntop\n```\n\n#### Resolution\n\n"
            "```bash\nkubectl scale deploy/api --replicas=5\n```\n\n### Disk full\n\n#### Diagnosis\n\n"
            "```bash\ndf -h\n```\n\n#### Resolution\n\n```bash\nrm -rf /tmp/x\n```\n"
        ),
        [(3, {}), (17, {})],
    ),
    ("## Architecture\n\n1. Client calls the API\n2. API calls the DB\n3. DB answers\n", []),
    ("## Best practices\n\n1. Test backups\n2. Rotate keys\n3. Review access\n", []),
    (
        ("## Phase 1: Prepare\n\n```bash\nls\n```\n\n## Phase 2: Migrate\n\n```bash\nmake migrate\n```\n"),
        [(1, {}), (7, {})],
    ),
    ("## Output\n\n```\nHTTP/1.1 200 OK\n```\n", []),
    ("## Rollback\n\nRun `kubectl rollout undo deploy/api` and check `/health`.\n", []),
    (
        (
            "## Scaling\n\nTo scale the API:\n\n```bash\nkubectl scale deploy/api --replicas=5\n```\n\n"
            "To scale the workers:\n\n```bash\nkubectl scale deploy/worker --replicas=5\n```\n"
        ),
        [(1, {})],
    ),
    (
        (
            "## Incident Response\n\n### 1. Detect\n\n- look\n\n### 2. Contain\n\n```bash\n"
            "iptables -A INPUT -j DROP\n```\n\n### 3. Recover\n\n```bash\nsystemctl start app\n```\n"
        ),
        [(7, {}), (13, {})],
    ),
    (("## Quick reference\n\n| Action | Command |\n|-|-|\n| Restart | `systemctl restart app` |\n"), []),
    (
        (
            "## Runbook: Disk full\n\n**Trigger:** disk > 90%\n\n**Steps:**\n"
            "1. Find the large files: `du -sh /*`\n2. Remove old logs\n3. Verify\n"
        ),
        [(1, {})],
    ),
    (("## Logs\n\n<details>\n<summary>Show</summary>\n\n```bash\njournalctl -u app\n```\n\n</details>\n"), [(1, {})]),
    ("## Prerequisites\n\n```bash\napt install jq\n```\n", [(1, {})]),
]

CHECKLISTS: list[tuple[str, Expected]] = [
    ("### Pre-deployment checklist\n\n1. Tests pass\n2. Backup taken\n3. Notice sent\n", [(1, {})]),
    ("### Daily\n\n- [ ] a\n- [ ] b\n\n### Weekly\n\n- [ ] c\n", [(1, {}), (6, {})]),
    ("## Daily\n\n**Morning:**\n- [ ] a\n- [ ] b\n\n**Evening:**\n- [ ] c\n", [(3, {}), (7, {})]),
    ("## Pre-flight\n\n| Check | Done |\n|-|-|\n| a | [ ] |\n| b | [ ] |\n", []),
    ("## Go-live checklist\n\n- Tests pass\n- Backups run\n- Alerts on\n", [(1, {})]),
]


@pytest.mark.parametrize(("text", "expected"), ESCALATION)
def test_it_reads_every_form_of_escalation_and_nothing_else(text: str, expected: Expected) -> None:
    assert_reads("escalation", text, expected)


@pytest.mark.parametrize(("text", "expected"), MAINTENANCE_WINDOWS)
def test_it_reads_every_form_of_maintenance_windows_and_nothing_else(text: str, expected: Expected) -> None:
    assert_reads("maintenance_windows", text, expected)


@pytest.mark.parametrize(("text", "expected"), CONTACTS)
def test_it_reads_every_form_of_contacts_and_nothing_else(text: str, expected: Expected) -> None:
    assert_reads("contacts", text, expected)


@pytest.mark.parametrize(("text", "expected"), PROCEDURES)
def test_it_reads_every_form_of_procedures_and_nothing_else(text: str, expected: Expected) -> None:
    assert_reads("procedures", text, expected)


@pytest.mark.parametrize(("text", "expected"), CHECKLISTS)
def test_it_reads_every_form_of_checklists_and_nothing_else(text: str, expected: Expected) -> None:
    assert_reads("checklists", text, expected)
