"""Whose SQL a block holds."""

from __future__ import annotations

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import lint_document
from opsbook.manual.lint.facts.statements import dialect_of
from opsbook.manual.reading import read_manual


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        ("sql", "SELECT count(*) FROM orders;", "postgres"),
        ("sql", "SELECT now() - interval '5 minutes';", "postgres"),
        ("sql", "OPTIMIZE TABLE orders;", "mysql"),
        ("sql", "SHOW FULL PROCESSLIST;", "mysql"),
        ("sql", "SELECT * FROM log WHERE at > DATE_SUB(NOW(), INTERVAL 7 DAY);", "mysql"),
        ("mysql", "SELECT 1;", "mysql"),
        ("sql", "SELECT TOP 10 * FROM sys.dm_exec_requests;", ""),
        ("sql", "SELECT * FROM v$session;", ""),
    ],
)
def test_a_dialect_shows_in_what_only_one_server_says(tag: str, text: str, expected: str) -> None:
    assert dialect_of(tag, text) == expected


def test_another_servers_sql_is_not_held_against_postgresql() -> None:
    text = "# Orders\n\n## Upkeep\n\n```sql\nANALYZE TABLE orders;\nOPTIMIZE TABLE orders;\n```\n"
    document = read_document(text, "orders.md")
    rules = {finding.rule for finding in lint_document(document, read_manual(text, "orders.md"))}
    assert "OB222" not in rules
