"""What a manual says, kind by kind, in several styles and languages."""

from __future__ import annotations

import pytest

from opsbook.manual.reading import Manual, as_json, read_manual


def read(text: str) -> Manual:
    return read_manual(text, "test.md")


# metrics


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


# objectives


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**RTO**: 4 hours\n", [("RTO", "4h", "system")]),
        ("RTO (Recovery Time Objective): < 30 min\n", [("RTO", "30min", "system")]),
        (
            "We promise an RTO of 2 hours and an RPO of 15 minutes.\n",
            [("RTO", "2h", "system"), ("RPO", "15min", "system")],
        ),
        (
            "### Recovery Time Objective (RTO)\n\n- **Database**: 2 hours\n- Web: 30 min\n",
            [("RTO", "2h", "database"), ("RTO", "30min", "web")],
        ),
        ("| Tier | RTO | RPO |\n|-|-|-|\n| Gold | 1h | 5 min |\n", [("RTO", "1h", "gold"), ("RPO", "5min", "gold")]),
        ("| Ziel | Wert |\n|-|-|\n| RTO | 3 Stunden |\n", [("RTO", "3h", "system")]),
        ("- **RTO**: 4時間以内\n", [("RTO", "4h", "system")]),
        ("The drill took 40 minutes; RTO met.\n", []),
        ("- [ ] Check the RTO of 4 hours\n", []),
    ],
)
def test_it_reads_recovery_objectives(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(each.kind, each.value, each.scope) for each in read(text).objectives] == expected


# backups


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


# severities, escalation, windows, retention


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


# procedures


def test_a_heading_over_commands_is_a_procedure() -> None:
    procedure = read(
        "# M\n\n## Ops\n\n### Restart\n\n```bash\n# Ask\nsystemctl status x\n# Do\nsystemctl restart x\n```\n"
    ).procedures[0]
    assert (procedure.title, procedure.path, procedure.line, procedure.destructive) == (
        "Restart",
        ("M", "Ops"),
        5,
        False,
    )
    assert [(step.text, step.commands) for step in procedure.steps] == [("Ask", (9,)), ("Do", (11,))]


def test_bold_titles_that_name_subjects_are_procedures_of_their_own() -> None:
    text = "## Common Issues\n\n**High Load:**\n```bash\nuptime\n```\n\n**Disk Full:**\n```bash\ndf -h\n```\n"
    assert [(procedure.title, procedure.line) for procedure in read(text).procedures] == [
        ("High Load", 3),
        ("Disk Full", 8),
    ]


@pytest.mark.parametrize(
    "titles",
    [
        ("Symptoms", "Diagnosis", "Solution"),
        ("Síntomas", "Diagnóstico", "Solución"),
        ("症状", "诊断", "解决"),
        ("Симптомы", "Диагностика", "Решение"),
    ],
)
def test_bold_titles_of_stages_belong_to_their_heading(titles: tuple[str, str, str]) -> None:
    body = "\n\n".join(f"**{title}**:\n```bash\nuptime\n```" for title in titles)
    assert [procedure.title for procedure in read(f"## Fehler\n\n### Slow\n\n{body}\n").procedures] == ["Slow"]


def test_bold_titles_that_recur_are_the_manuals_own_template() -> None:
    one = "**Kuvaus:**\n```bash\nuptime\n```\n\n**Ratkaisu:**\n```bash\ndf -h\n```\n"
    text = f"## A\n\n### Yksi\n\n{one}\n### Kaksi\n\n{one}\n### Kolme\n\n{one}\n"
    assert [procedure.title for procedure in read(text).procedures] == ["Yksi", "Kaksi", "Kolme"]


def test_numbered_items_with_commands_are_the_steps_of_their_heading() -> None:
    text = "## Full disk\n\n1. Look:\n   ```bash\n   df -h\n   ```\n2. Clean:\n   ```bash\n   rm -rf /tmp/x\n   ```\n"
    procedure = read(text).procedures[0]
    assert ([step.text for step in procedure.steps], procedure.destructive, procedure.why) == (
        ["Look:", "Clean:"],
        True,
        ("deletes files",),
    )


def test_titled_items_in_a_section_of_several_tasks_are_procedures_of_their_own() -> None:
    text = "### Weekly Tasks\n\n1. **Full Backup**\n   ```bash\n   ./backup.sh\n   ```\n2. **Review**\n   - Read logs\n"
    assert [(procedure.title, procedure.line) for procedure in read(text).procedures] == [("Full Backup", 3)]


def test_headings_that_are_steps_belong_to_the_one_above() -> None:
    text = (
        "## Move\n\n### Step 1: stop\n\n```bash\nsystemctl stop x\n```\n\n### Step 2: "
        "go\n\n```bash\nsystemctl start x\n```\n"
    )
    found = read(text).procedures
    assert [(procedure.title, len(procedure.commands)) for procedure in found] == [("Move", 2)]


def test_a_numbered_list_without_commands_is_a_procedure_and_judged_by_its_verbs() -> None:
    procedure = read("### Full Recovery\n\n1. Restore etcd\n2. Start nodes\n3. Check\n").procedures[0]
    assert (len(procedure.steps), procedure.destructive) == (3, True)


@pytest.mark.parametrize(
    "title", ["Table of Contents", "Key Components", "Escalation Path", "Principles", "Prerequisites", "目录"]
)
def test_a_numbered_list_of_facts_is_no_procedure(title: str) -> None:
    assert read(f"## {title}\n\n1. One\n2. Two\n3. Three\n").procedures == ()


def test_settings_and_aliases_are_no_procedure() -> None:
    assert read("## Environment\n\n```bash\nA=1\nB=2\n```\n\n```bash\nalias k='kubectl'\n```\n").procedures == ()


def test_numbered_comments_alone_are_steps() -> None:
    procedure = read("## Window\n\n```bash\n# 1. Tell users\n# send mail\n# 2. Do it\n```\n").procedures[0]
    assert ([step.text for step in procedure.steps], procedure.commands) == (["Tell users", "Do it"], ())


def test_a_procedure_names_what_must_be_filled_in() -> None:
    procedure = read("## Scale\n\n```bash\nkubectl scale deploy/api --replicas=$1 -n <namespace>\n```\n").procedures[0]
    assert procedure.parameters == ("$1", "namespace")


def test_statements_of_sql_are_commands_of_a_procedure() -> None:
    procedure = read(
        "## Upkeep\n\n```sql\n-- look\nSELECT 1;\n-- clean; really\nDELETE FROM t\nWHERE x;\n```\n"
    ).procedures[0]
    assert [(command.line, command.comment, bool(command.destructive)) for command in procedure.commands] == [
        (5, "look", False),
        (7, "clean; really", True),
    ]


# checklists, contacts, queries, structure, system


def test_it_reads_a_checklist_under_its_bold_title() -> None:
    checklist = read("## Day\n\n**Morning:**\n- [ ] a\n- [x] b\n").checklists[0]
    assert (checklist.title, checklist.line, checklist.items) == ("Morning", 3, ("a", "b"))


def test_boxes_in_the_stages_of_one_list_are_one_checklist() -> None:
    checklist = read("### P0\n\n1. **Ack**\n   - [ ] a\n2. **Fix**\n   - [ ] b\n   - [ ] c\n").checklists
    assert [(each.title, len(each.items)) for each in checklist] == [("P0", 3)]


def test_it_reads_contacts_from_tables_and_lists() -> None:
    text = (
        "## Contacts\n\n| Role | Phone | Email |\n|-|-|-|\n| On-call | +1 555 0100 200 | "
        "o@x.example |\n\n- **Vendor**: [Portal URL]\n- Slack: #ops\n"
    )
    found = read(text).contacts
    assert [(each.role, each.channel, each.line) for each in found] == [
        ("On-call", "+1 555 0100 200 / o@x.example", 5),
        ("Vendor", "[Portal URL]", 7),
        ("", "Slack #ops", 8),
    ]


def test_ways_to_reach_one_role_are_one_contact() -> None:
    text = "## Contacts\n\n**First line:**\n- Phone: +1-555-0100-200\n- Email: a@x.example\n"
    assert [(each.role, each.channel) for each in read(text).contacts] == [
        ("First line", "+1-555-0100-200 / a@x.example")
    ]


def test_it_reads_promql_one_expression_at_a_time() -> None:
    text = "```promql\n# Rate\nrate(x[5m])\n\n# Errors\nsum(rate(e[5m]))\n  /\nsum(rate(x[5m]))\n```\n"
    assert [(query.title, query.line, query.expression.count("\n")) for query in read(text).promql] == [
        ("Rate", 3, 0),
        ("Errors", 6, 2),
    ]


def test_it_reads_promql_in_commands_rules_and_dashboards() -> None:
    text = (
        "```bash\ncurl 'http://p:9090/api/v1/query?query=up'\n```\n\n```yaml\n- alert: "
        'A\n  expr: a > 1\n```\n\n```json\n{"targets": [{"expr": "rate(b[1m])"}]}\n```\n'
    )
    assert [query.expression for query in read(text).promql] == ["up", "a > 1", "rate(b[1m])"]


def test_it_tells_links_that_lead_nowhere() -> None:
    found = read("# A\n\n[ok](#a) [gone](#b) [file](./x.md) [web](https://x.example)\n").references
    assert [(each.kind, each.resolves) for each in found] == [
        ("section", True),
        ("section", False),
        ("file", None),
        ("url", None),
    ]


def test_it_names_the_system() -> None:
    assert read("# Brightwater Operations Manual\n").system.name == "Brightwater"
    assert read("# Betriebshandbuch Fährwerk\n").system.name == "Fährwerk"
    assert (
        read("# Operations Guide\n\nThis covers running the Kestrel Ledger in production environments.\n").system.name
        == "Kestrel Ledger"
    )


def test_it_gathers_what_the_commands_name() -> None:
    text = (
        "# X\n\n```bash\nkubectl -n shop exec db-0 -- psql -U app -d orders -c 'DELETE "
        "FROM carts'\nkubectl set image deploy/api api=reg.example/api:v2 -n shop\naws "
        "s3 cp x s3://shop-b/y\ncurl http://api:8000/health\n```\n"
    )
    system = read(text).system
    assert [
        [each.name for each in kind]
        for kind in (
            system.namespaces,
            system.databases,
            system.users,
            system.tables,
            system.images,
            system.buckets,
            system.endpoints,
        )
    ] == [
        ["shop"],
        ["orders"],
        ["app"],
        ["carts"],
        ["reg.example/api:v2"],
        ["s3://shop-b"],
        ["http://api:8000/health"],
    ]
    assert [component.name for component in system.components] == ["api"]


def test_it_never_shows_a_password_of_an_address() -> None:
    endpoints = read("```bash\npsql postgresql://app:hunter2@db:5432/orders\n```\n").system.endpoints
    assert endpoints[0].name == "postgresql://***@db:5432/orders"


def test_plain_data_has_the_keys_that_are_promised() -> None:
    data = as_json(read("# X\n\n- **RTO**: 1 hour\n"))
    assert list(data) == [
        "name",
        "system",
        "metrics",
        "objectives",
        "backups",
        "severities",
        "escalation",
        "maintenance_windows",
        "retention",
        "procedures",
        "checklists",
        "contacts",
        "promql",
        "config_blocks",
        "references",
    ]
    assert data["objectives"] == [{"line": 3, "kind": "RTO", "value": "1h", "scope": "system"}]
