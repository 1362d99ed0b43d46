"""Checklists, contacts, queries, links and the system itself."""

from __future__ import annotations

from opsbook.manual.reading import Manual, as_json, read_manual


def read(text: str) -> Manual:
    return read_manual(text, "test.md")


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


def test_a_page_to_look_at_is_no_contact() -> None:
    text = "## Contacts\n\n- **Chat**: #shop-ops\n- **Status Page**: https://status.shop.example\n"
    assert [each.line for each in read(text).contacts] == [3]
