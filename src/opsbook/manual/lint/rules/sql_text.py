"""SQL as written: placeholders, comments that say otherwise, syntax."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sql
from opsbook.manual.lint.facts.periods import periods
from opsbook.manual.lint.facts.syntax import syntax_error
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule


@rule(
    "OB220",
    "query-left-open",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A query whose text was never filled in",
    reason=("Three dots are no SQL. Who follows the manual at night has to invent the query that the step is about."),
    source="https://www.postgresql.org/docs/current/sql-explain.html",
    bad=sql("EXPLAIN ANALYZE SELECT ...;"),
    good=sql("EXPLAIN ANALYZE SELECT id FROM orders WHERE user_id = 1;"),
)
def query_left_open(context: Context) -> Iterator[Fault]:
    """Statements that consist of a verb and dots."""
    for statement in context.statements:
        if re.search(
            r"(?:SELECT|UPDATE|DELETE|INSERT|ANALYZE|EXPLAIN|QUERY)\b\s*(?:\.\.\.|…)\s*\)?$", statement.bare, re.I
        ):
            yield Fault(statement.find(r"\.\.\.|…"), "the query of this step is not given")


@rule(
    "OB221",
    "comment-contradicts-interval",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="The comment promises another time than the statement keeps",
    reason="One of the two is wrong, and the statement is the one that deletes.",
    source="the manual itself",
    bad=sql("-- keep 1 year\nDELETE FROM api_logs WHERE created_at < now() - interval '90 days';"),
    good=sql("-- keep 1 year\nDELETE FROM api_logs WHERE created_at < now() - interval '1 year';"),
)
def comment_contradicts(context: Context) -> Iterator[Fault]:
    """A DELETE or drop_chunks whose interval differs from the only period that its comment, or the comment of"
    " the block, names."""
    last: dict[int, str] = {}
    for statement in context.statements:
        key = statement.fence.line if statement.fence else statement.line
        if statement.comment:
            last[key] = statement.comment
        promised = periods(last.get(key, ""))
        kept = [p for text in re.findall(r"interval\s+'?(\d+\s*\w+)", statement.bare, re.I) for p in periods(text)]
        if (
            (statement.upper.startswith("DELETE") or "DROP_CHUNKS" in statement.upper)
            and len(promised) == 1
            and len(kept) == 1
            and abs(promised[0] - kept[0]) > 0.1 * promised[0]
        ):
            yield Fault(
                statement.find(r"interval\s+'?\d+\s*\w+'?"),
                f"the comment says {last[key].strip()}, the statement deletes after another time",
            )


@rule(
    "OB223",
    "system-view-changed",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="UPDATE, INSERT or DELETE on a statistics view",
    reason=(
        "The pg_stat_… relations and information_schema are views over the server's "
        "counters: “cannot update view”. Counters are reset by functions, pg_stat_reset() "
        "and its kin."
    ),
    source="https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-FUNCTIONS",
    bad=sql("UPDATE pg_stat_statements_info SET dealloc = 0;"),
    good=sql("SELECT pg_stat_statements_reset();"),
)
def system_view_changed(context: Context) -> Iterator[Fault]:
    """DML whose target is a statistics relation."""
    for statement in context.statements:
        found = re.match(
            (
                r"(?:UPDATE|INSERT INTO|DELETE FROM|TRUNCATE(?: TABLE)?)\s+(?:pg_catalog\.)?(pg_stat\w*|"
                r"information_schema\.\w+)"
            ),
            statement.bare,
            re.I,
        )
        if found and statement.dialect == "postgres":
            yield Fault(
                statement.place,
                f"{found[1]} is a view of the server's counters and cannot be changed",
                Fix("pg_stat_reset() or the reset function of the extension"),
            )


@rule(
    "OB222",
    "sql-syntax",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="SQL that PostgreSQL's grammar does not accept",
    reason="The server refuses the statement before it runs.",
    source="PostgreSQL's own grammar (libpg_query) where it is installed, else sqlglot",
    bad=sql("SELECT count(* FROM orders;"),
    good=sql("SELECT count(*) FROM orders;"),
)
def sql_syntax(context: Context) -> Iterator[Fault]:
    """Statements that the grammar refuses; those with values to fill in are left alone."""
    for statement in context.statements:
        if statement.is_templated or statement.dialect not in ("postgres", "mysql") or "\\" in statement.bare:
            continue
        said = syntax_error(statement.bare, statement.dialect)
        if said:
            at = statement.place
            yield Fault(Place(at.line, at.column), f"syntax error: {said}")
