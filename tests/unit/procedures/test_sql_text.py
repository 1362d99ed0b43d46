"""SQL is cut where PostgreSQL's lexer would, and values are bound or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.connectors.sql_text import (
    controls_transaction,
    only_reads,
    outside_transaction,
    spans,
    split_statements,
    yields_rows,
)
from opsbook.engine.expressions import ExpressionError, Secret
from opsbook.engine.sql_values import compile_statements, fill_statements

CUT = [
    ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
    ("SELECT ';'; SELECT \"a;b\"", ["SELECT ';'", 'SELECT "a;b"']),
    ("SELECT E'\\';'; SELECT 2", ["SELECT E'\\';'", "SELECT 2"]),
    ("SELECT 'a\\'; SELECT 2", ["SELECT 'a\\'", "SELECT 2"]),
    ("SELECT $$;$$; SELECT $x$ $$;$$ $x$", ["SELECT $$;$$", "SELECT $x$ $$;$$ $x$"]),
    ("SELECT 1 -- ;\n; SELECT 2", ["SELECT 1 -- ;", "SELECT 2"]),
    ("/* ; /* ; */ ; */ SELECT 1;", ["/* ; /* ; */ ; */ SELECT 1"]),
    ("SELECT a$b; SELECT 2", ["SELECT a$b", "SELECT 2"]),
    ("CREATE RULE r AS ON x DO (SELECT 1; SELECT 2); TABLE t",
     ["CREATE RULE r AS ON x DO (SELECT 1; SELECT 2)", "TABLE t"]),
    ("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SELECT 2",
     ["CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END", "SELECT 2"]),
    (" ; ;-- nothing\n;", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "statements"), CUT)
def test_it_cuts_statements(text: str, statements: list[str]) -> None:
    assert [text[start:end] for start, end in split_statements(text)] == statements


@given(st.text(alphabet="ab'\"$;-/*\\ \nE", max_size=60))
def test_its_pieces_are_the_whole_text(text: str) -> None:
    found = list(spans(text))
    assert "".join(text[span.start : span.end] for span in found) == text


def test_it_knows_what_a_statement_needs() -> None:
    assert outside_transaction("/* x */ vacuum (analyze) t")
    assert outside_transaction("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
    assert outside_transaction("REINDEX (VERBOSE) TABLE CONCURRENTLY t")
    assert outside_transaction("ALTER SYSTEM SET work_mem = '4MB'")
    assert not outside_transaction("CREATE INDEX i ON t (a)")
    assert controls_transaction("COMMIT") and controls_transaction(
        "set session characteristics as transaction read write"
    )
    assert not controls_transaction("SELECT 'COMMIT'") and not controls_transaction("ROLLBACK TO here")
    assert (
        only_reads("(SELECT 1)") and only_reads("with x as (select 1) select * from x") and not only_reads("DO $$ $$")
    )
    for statement, rows in [
        ("SELECT 1", True), ("SELECT 1 INTO t", False), ("DELETE FROM t", False), ("DELETE FROM t RETURNING a", True),
        ("WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x", True), ("WITH x AS (SELECT 1) DELETE FROM t", False),
        ("INSERT INTO t SELECT 1", False), ("(SELECT 1)", True), ("SHOW all", True), ("TABLE t", True),
    ]:  # fmt: skip
        assert yields_rows(statement) is rows, statement


def test_it_binds_values_and_quotes_names() -> None:
    statements, mistakes = compile_statements(
        "SELECT * FROM {{ t | ident }} WHERE a LIKE 'x%' AND b = {{ v }} OR c = {{ v }}", False
    )
    assert not mistakes
    assert fill_statements(statements, {"t": 'we"ird%', "v": "'; DROP TABLE t; --"}) == {
        "statement": ['SELECT * FROM "we""ird%%" WHERE a LIKE \'x%%\' AND b = %(p2)s OR c = %(p2)s'],
        "parameters": {"p2": "'; DROP TABLE t; --"},
        "secrets": {},
    }


def test_it_leaves_percent_signs_alone_where_nothing_is_bound() -> None:
    assert fill_statements(["SELECT 'a%'"], {})["statement"] == ["SELECT 'a%'"]


def test_it_hands_secrets_on_as_references() -> None:
    filled = fill_statements(["SELECT {{ token }}"], {"token": Secret("${TOKEN}")})
    assert filled["secrets"] == {"p1": "${TOKEN}"} and filled["parameters"] == {}


MISPLACED = [
    "SELECT '{{ v }}'",
    'SELECT "{{ v }}"',
    "SELECT $$ {{ v }} $$",
    "SELECT 1 -- {{ v }}",
    "SELECT 1 /* {{ v }} */",
    "SELECT 1; COMMIT; DROP TABLE t",
    "SELECT 'open",
]


@pytest.mark.parametrize("text", MISPLACED)
def test_it_refuses_values_that_cannot_be_bound(text: str) -> None:
    assert compile_statements(text, False)[1]


def test_it_refuses_values_where_postgresql_takes_none() -> None:
    (mistake,) = compile_statements("ALTER ROLE {{ r | ident }} PASSWORD {{ p }}", True)[1]
    assert mistake.message == "PostgreSQL binds no values in ALTER ROLE"


@pytest.mark.parametrize("value", ["a\0b", "x" * 10_000_001, "\ud800", ["ok", "a\0"]])
def test_it_refuses_values_that_postgresql_cannot_hold(value: object) -> None:
    with pytest.raises(ExpressionError):
        fill_statements(["SELECT {{ v }}"], {"v": value})


@pytest.mark.parametrize("name", ["", "a\0", "x" * 64, 3, None, ["a", ""]])
def test_it_refuses_names_that_postgresql_would_change(name: object) -> None:
    with pytest.raises(ExpressionError):
        fill_statements(["SELECT * FROM {{ t | ident }}"], {"t": name})
