"""Procedures: by their shape, whatever the language."""

from __future__ import annotations

import pytest

from opsbook.manual.reading import Manual, read_manual


def read(text: str) -> Manual:
    return read_manual(text, "test.md")


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


def test_ways_to_choose_among_are_procedures_of_their_own() -> None:
    case = "## {0} down\n\n### Diagnosis\n\n```bash\nuptime\n```\n\n### Recovery\n\n"
    ways = (
        "#### Option A: Wait\n\n```bash\nuptime\n```\n\n"
        "#### Option B: Restore\n\n```bash\npg_restore -d shop x.dump\n```\n\n"
    )
    text = "".join(case.format(name) + ways for name in ("Shop", "Mail", "Search"))
    found = [(each.title, each.destructive) for each in read(text).procedures]
    assert found[:3] == [("Shop down", False), ("Option A: Wait", False), ("Option B: Restore", True)]
    assert len(found) == 9


def test_numbered_boxes_under_a_grave_title_are_a_procedure() -> None:
    text = "### Critical slowdown\n\n1. [ ] Look at the load\n2. [ ] Restart the workers\n3. [ ] Tell the lead\n"
    assert [(each.title, len(each.steps)) for each in read(text).procedures] == [("Critical slowdown", 3)]
    assert read("### Severity levels\n\n1. Critical\n2. High\n3. Low\n").procedures == ()


@pytest.mark.parametrize("title", ["Memory Issues", "Load Balancer Problems", "Database Connection Issues"])
def test_numbered_causes_of_one_matter_are_its_steps(title: str) -> None:
    items = "1. **Leak**:\n   ```bash\n   ps aux\n   ```\n2. **Limits** (rare):\n   ```bash\n   free -m\n   ```\n"
    text = f"### {title}\n\n{items}"
    assert [procedure.title for procedure in read(text).procedures] == [title]


def test_numbered_jobs_with_a_remark_are_procedures_of_their_own() -> None:
    items = "1. **Review** (Mondays)\n   - look\n2. **Vacuum** (Tuesdays)\n   ```sql\n   VACUUM;\n   ```\n"
    text = f"## Weekly Tasks\n\n{items}"
    assert [procedure.title for procedure in read(text).procedures] == ["Vacuum"]


def test_a_collection_of_commands_is_one_procedure() -> None:
    text = "### Useful Commands\n\n**Docker:**\n```bash\ndocker ps\n```\n\n**Redis:**\n```bash\nredis-cli ping\n```\n"
    assert [procedure.title for procedure in read(text).procedures] == ["Useful Commands"]


def test_a_stage_with_a_remark_belongs_to_its_heading() -> None:
    text = (
        "### Token Leak\n\n**Trigger**: a report\n\n**Containment (in this order)**:\n\n1. Revoke\n"
        "   ```bash\n   ./revoke\n   ```\n2. Rotate\n\n**Notification**:\n\n3. Tell the customer\n"
    )
    assert [procedure.title for procedure in read(text).procedures] == ["Token Leak"]


@pytest.mark.parametrize(
    "text",
    [
        "### Disaster Recovery\n\n**DR Checklist**:\n1. [ ] Backup there\n2. [ ] Cluster up\n3. [ ] Tests passed\n",
        "### Retrospective Agenda\n\n1. Timeline\n2. Causes\n3. Actions\n",
    ],
)
def test_a_list_of_states_or_of_topics_is_no_procedure(text: str) -> None:
    assert read(text).procedures == ()


def test_boxes_drawn_in_a_block_are_a_checklist_and_no_commands() -> None:
    found = read("### Triage\n\n```bash\n# look at:\n□ Check logs\n□ Check disk\n□ Check queue\n```\n")
    assert [len(each.items) for each in found.checklists] == [3]
    assert found.procedures == ()


def test_boxes_below_one_step_are_titled_by_it() -> None:
    text = "### Answer\n\n1. **Assess:**\n   look\n\n2. **Mitigate:**\n   - [ ] isolate\n   - [ ] scale\n"
    assert [(each.title, each.line) for each in read(text).checklists] == [("Mitigate", 6)]


@pytest.mark.parametrize("names", [("Windows (PowerShell)", "Linux/macOS (Bash)"), ("Recovery Step 1: Ping", "Logs")])
def test_bold_lines_that_name_no_subject_belong_to_their_heading(names: tuple[str, str]) -> None:
    body = "\n\n".join(f"**{name}**\n```bash\nuptime\n```" for name in names)
    assert [procedure.title for procedure in read(f"### Start it\n\nSo:\n\n{body}\n").procedures] == ["Start it"]


def test_a_shell_that_is_not_read_is_run_all_the_same() -> None:
    assert [each.title for each in read("### Restart\n\n```powershell\nRestart-Service api\n```\n").procedures] == [
        "Restart"
    ]


def test_items_that_tell_what_to_do_are_steps_whatever_the_title_speaks_of() -> None:
    steps = "1. Create a monitor\n2. Wait a minute\n3. Confirm one mail\n"
    states = "1. one mail after a minute\n2. one reminder\n3. no more\n"
    assert [each.title for each in read(f"### Alert Test\n\n{steps}").procedures] == ["Alert Test"]
    assert read(f"### Alert Test\n\n{states}").procedures == ()


def test_numbered_boxes_over_commands_are_a_procedure_though_they_are_called_a_checklist() -> None:
    text = (
        "### Collapse\n\n**At once, the checklist:**\n1. [ ] look: `top`\n2. [ ] `systemctl restart app`\n3. [ ] tell\n"
    )
    assert [each.title for each in read(text).procedures] == ["Collapse"]


def test_what_is_ticked_already_is_no_checklist() -> None:
    assert read("### Good practice\n\n- [x] tested\n- [x] encrypted\n").checklists == ()
