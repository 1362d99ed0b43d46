"""SQL that names a thing without quotes where text is wanted, reaches into other tables, or deletes too soon."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sql
from opsbook.manual.lint.facts.periods import periods
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_SIZES = re.compile(
    r"\b(pg_(?:database|relation|total_relation|table|indexes)_size|pg_relation_filepath|nextval|setval|currval)"
    r"\s*\(\s*([a-z_][a-z0-9_.]*)\s*[,)]"
)

# Where there is no table a bare word cannot be a column.
_BARE_SELECT = re.compile(r"(?is)(?:\s|--[^\n]*\n)*SELECT\b(?!.*\b(?:FROM|DO|FUNCTION|INTO|VALUES)\b)")


@rule(
    "OB230",
    "name-without-quotes",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A function that wants a name as text is given a bare word",
    reason="Without quotes the word is a column, and there is none: “column does not exist”.",
    source="https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE",
    bad=sql("SELECT pg_size_pretty(pg_database_size(shop));"),
    good=sql("SELECT pg_size_pretty(pg_database_size('shop'));"),
)
def name_without_quotes(context: Context) -> Iterator[Fault]:
    """The size and sequence functions in a statement that has no FROM."""
    for statement in context.statements:
        if statement.dialect != "postgres" or not _BARE_SELECT.match(statement.text):
            continue
        found = _SIZES.search(statement.text)
        if found and not found[2].startswith(("current_", "pg_", "session_")) and "." not in found[2]:
            at = statement.find(rf"\b{found[2]}\b")
            yield Fault(at, f"{found[2]} is taken for a column", Fix(f"'{found[2]}'"))


@rule(
    "OB231",
    "truncate-cascade",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="TRUNCATE … CASCADE",
    reason="CASCADE empties every table that refers to the one that is named, and theirs, without saying which.",
    source="https://www.postgresql.org/docs/current/sql-truncate.html",
    bad=sql("TRUNCATE sessions CASCADE;"),
    good=sql("DELETE FROM sessions WHERE expires_at < now();"),
)
def truncate_cascade(context: Context) -> Iterator[Fault]:
    """The word itself."""
    for statement in context.statements:
        if re.match(r"\s*TRUNCATE\b[^;]*\bCASCADE\b", statement.text, re.I):
            yield Fault(statement.find(r"(?i)\bCASCADE\b"), "empties the tables that refer to it too")


# The one condition that a promise of so many years speaks of: with another the rows are of another kind.
_BY_AGE_ALONE = re.compile(
    r"(?is)\bWHERE\s+[\w.\"]+(?:::\w+)?\s*<=?\s*(?:(?!\b(?:AND|OR|NOT|IN|EXISTS|SELECT|USING)\b).)*$"
)
_KEPT = "- Audit logs: kept for 7 years\n\n"
_DELETED = "DELETE FROM audit_log WHERE created_at < now() - interval '{}';"


@rule(
    "OB584",
    "rows-deleted-sooner",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Rows are deleted at another age than the text promises to keep them",
    reason="Where the law or a contract asks for the longer time the rows are gone; else nobody knows which is meant.",
    source="the manual itself",
    bad=f"{_KEPT}{sql(_DELETED.format('1 year'))}",
    good=f"{_KEPT}{sql(_DELETED.format('7 years'))}",
)
def rows_deleted_sooner(context: Context) -> Iterator[Fault]:
    """DELETE … interval of a table against the one retention that the text gives what is called so."""
    said = [r for r in context.read.retention if not _in_code(context, r.line)]
    for statement in context.statements:
        found = re.match(r"(?is)\s*DELETE\s+FROM\s+(?:\w+\.)?(\w+)\b.*\binterval\s+'([^']+)'", statement.text)
        if not found or not _BY_AGE_ALONE.search(statement.text):
            continue
        age = next(iter(periods(found[2])), 0.0)
        kept = {
            (next(iter(periods(_spelled(r.keep))), 0.0), r.line) for r in said if _plain(r.what) == _plain(found[1])
        }
        if age and len(kept) == 1:
            length, line = next(iter(kept))
            if length and abs(length - age) > 0.02 * length:
                at = statement.find(r"(?i)\binterval\b")
                yield Fault(at, f"deletes after {found[2]}, line {line} keeps them for {_say(length)}")


def _in_code(context: Context, line: int) -> bool:
    return any(fence.line <= line <= fence.end_line for fence in context.document.fences())


def _plain(name: str) -> str:
    return re.sub(r"s\b|[^a-z]", "", name.lower().replace("_", " "))


def _spelled(value: str) -> str:
    units = {"d": "days", "w": "weeks", "mo": "months", "y": "years", "h": "hours"}
    found = re.fullmatch(r"(\d+)\s*(d|w|mo|y|h)", value.strip())
    return f"{found[1]} {units[found[2]]}" if found else value


def _say(seconds: float) -> str:
    return f"{seconds / 86400:g} days"
