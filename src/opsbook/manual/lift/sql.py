"""SQL of known intent: statements that an operation means, and looks that an observation or a query step tells."""

from __future__ import annotations

import re
from collections.abc import Callable

from opsbook.manual.danger import sql_destructive
from opsbook.manual.extract.statements import sql_lines
from opsbook.manual.lift.context import Stay, Use, duration
from opsbook.manual.lift.inventory import Part
from opsbook.manual.lift.model import Form, Step, Why
from opsbook.manual.lift.psql_commands import query_of

_NAME = r"(?:\"[^\"]+\"|[\w$]+)(?:\.(?:\"[^\"]+\"|[\w$]+))?"
_AGE = re.compile(r"interval\s*'([^']+)'|'([^']+)'\s*::\s*interval", re.I)

Made = list[Step] | Stay
Maker = Callable[[re.Match[str], str, Use, Part], "Made | None"]


def lift_statements(text: str, use: Use, part: Part) -> Made:
    """The steps of a text of SQL."""
    steps: list[Step] = []
    for one in sql_lines(text, use.line):
        made = lift_statement(one.text.strip().rstrip(";").strip(), use, part)
        if isinstance(made, Stay):
            return made
        steps += [step.having(commands=1 if not steps else 0) for step in made]
    return steps or Stay(Why.OPEN, "there is no statement", "", part.name)


def lift_statement(statement: str, use: Use, part: Part) -> Made:
    """The step of one statement: its operation, a check where it looks at what one tells, else the statement itself."""
    if statement.startswith("\\"):
        if query := query_of(statement):
            mended = "a command of psql alone became the query behind it"
            return [use.step(Form.SQL, query, part, mended, attributes={"on": part.name})]
        return Stay(Why.LOOKS, "a command of psql itself", "", part.name)
    if "..." in statement or "…" in statement:
        return Stay(Why.OPEN, "the statement is not written out", "", part.name)
    for pattern, maker in _MAKERS:
        match = pattern.match(statement)
        made = maker(match, statement, use, part) if match else None
        if made is not None:
            return made
    return _plain(statement, use, part)


def _plain(statement: str, use: Use, part: Part) -> Made:
    """The statement as a fence: in a read-only transaction, or marked as one that writes."""
    if re.match(r"\s*alter\s+(?:user|role)\b.*\bpassword\b", statement, re.I | re.S):
        return Stay(
            Why.MISSING,
            "a rotation keeps the new password out of every log; `postgres.password` would mean it",
            "postgres.password",
            part.name,
        )
    text = _bound(statement, use)
    if text is None:
        return Stay(Why.OPEN, "a value of the statement is computed by the shell", "", part.name)
    head = re.match(r"\s*(?:\(\s*)?(\w+)", statement)
    word = head[1].upper() if head else ""
    text, mended = _with_columns(text)
    reads = word in ("SELECT", "SHOW", "TABLE", "VALUES", "EXPLAIN") or (
        word == "WITH" and not re.search(r"\b(?:insert|update|delete|merge)\b", statement, re.I)
    )
    if (
        reads
        and not sql_destructive(statement)
        and not re.search(r"\bpg_(?:reload_conf|switch_wal|promote|stat_reset\w*)\s*\(", statement)
    ):
        return [use.step(Form.SQL, text, part, mended, attributes={"on": part.name})]
    use.context.changed = True
    risk = "" if sql_destructive(statement) or word in ("DROP", "TRUNCATE", "DELETE", "UPDATE") else "disruptive"
    return [use.step(Form.SQL, text, part, attributes={"on": part.name}, flags=("write",), risk=risk)]


_COLUMNS = (
    (
        re.compile(r"\bpg_stat(?:io)?_(?:user|all|sys)_indexes\b", re.I),
        {"tablename": "relname", "indexname": "indexrelname"},
    ),
    (re.compile(r"\bpg_stat(?:io)?_(?:user|all|sys)_tables\b", re.I), {"tablename": "relname"}),
)
"""Statistics views, and names that people give their columns (those of pg_tables, pg_indexes) → the real ones."""


def _with_columns(text: str) -> tuple[str, str]:
    """The query with the columns that the view has, and the sentence that tells it."""
    for view, names in _COLUMNS:
        if not view.search(text) or re.search(r"\bpg_(?:tables|indexes)\b", text):
            continue
        for wrong, right in names.items():
            text, count = re.subn(rf"\b{wrong}\b", right, text)
            if count:
                return _with_columns(text)[0], "the columns of the statistics view are called relname and indexrelname"
    return text, ""


def _bound(statement: str, use: Use) -> str | None:
    """The statement with what varies as bound values: `'$1'` and `$1` alike."""
    text = re.sub(r"'(\$\{?\w+\}?|<[A-Za-z][\w -]*>)'", r"\1", statement)
    return use.text(text)


def _tables(match: re.Match[str]) -> list[str] | None:
    names = re.findall(_NAME, match["tables"] or "")
    return names or None


def _vacuum(match: re.Match[str], _statement: str, use: Use, part: Part) -> Made:
    tables, options = _tables(match), (match["options"] or "").upper()
    if "FULL" not in options:
        return use.op("postgres.vacuum", part, tables=tables)
    if tables:
        return [step for table in tables for step in _listed(use.op("postgres.vacuum_full", part, table=table))]
    name = use.context.parameters.take(
        "VACUUM FULL", "table", "text", "the one table that is rewritten; nobody can use it meanwhile"
    )
    return use.op(
        "postgres.vacuum_full",
        part,
        "VACUUM FULL of every table in turn became one of a table that is named",
        table="{{ " + name + " }}",
    )


def _listed(made: Made) -> list[Step]:
    return made if isinstance(made, list) else []


def _analyze(match: re.Match[str], _statement: str, use: Use, part: Part) -> Made:
    return use.op("postgres.analyze", part, tables=_tables(match))


def _explain(match: re.Match[str], _statement: str, use: Use, part: Part) -> Made | None:
    inner = _bound(match["inner"].strip(), use)
    if inner is None or "{{" in inner:
        return None
    mended = "EXPLAIN ANALYZE runs the statement; the plan is shown without running it" if match["options"] else ""
    return use.op("postgres.explain", part, mended, statement=inner)


def _reindex(match: re.Match[str], statement: str, use: Use, part: Part) -> Made:
    if match["what"].upper() == "TABLE":
        mended = "" if "CONCURRENTLY" in statement.upper() else "indexes are rebuilt concurrently: writers go on"
        return use.op("postgres.reindex", part, mended, table=match["name"])
    name = use.context.parameters.take("REINDEX", "table", "text", "the table whose indexes are rebuilt")
    return use.op(
        "postgres.reindex",
        part,
        f"REINDEX {match['what'].upper()} of everything became one of a table that is named",
        table="{{ " + name + " }}",
    )


_SCOPES = (
    ("state", re.compile(r"\bstate\s*=\s*'(active|idle|idle in transaction|idle in transaction \(aborted\))'", re.I)),
    ("user", re.compile(r"\busename\s*=\s*'([^'$<]+)'", re.I)),
    ("application", re.compile(r"\bapplication_name\s*=\s*'([^'$<%]+)'", re.I)),
    ("database", re.compile(r"\bdatname\s*=\s*'([^'$<]+)'", re.I)),
)


def _terminate(match: re.Match[str], statement: str, use: Use, part: Part) -> Made | None:
    operation = f"postgres.{match['verb'].lower()}"
    if "pg_stat_activity" not in statement.lower():
        return None
    scope: dict[str, str] = {}
    for key, pattern in _SCOPES:
        if found := pattern.search(statement):
            scope[key] = found[1]
    age = _AGE.search(statement)
    older = duration(age[1] or age[2]) if age else None
    if older is None and not {"user", "application"} & set(scope):
        name = use.context.parameters.take(
            "pg_stat_activity", "older_than", "duration", "only sessions that have been at it this long"
        )
        older = "{{ " + name + " }}"
    return use.op(
        operation,
        part,
        "ends only sessions of clients in this scope: never replication, background workers or opsbook's own",
        older_than=older,
        **scope,
    )


def _index(match: re.Match[str], statement: str, use: Use, part: Part) -> Made | None:
    columns = [one.strip() for one in match["columns"].split(",")]
    if not all(re.fullmatch(r"[A-Za-z_]\w*", column) for column in columns) or re.search(
        r"\)\s*(?:where|include)", statement, re.I
    ):
        return None
    mended = "" if "CONCURRENTLY" in statement.upper() else "the index is made concurrently: writers go on"
    return use.op(
        "postgres.create_index",
        part,
        mended,
        table=match["table"],
        columns=columns,
        name=match["name"],
        unique=True if match["unique"] else None,
    )


def _setting(match: re.Match[str], _statement: str, use: Use, part: Part) -> Made | None:
    value = use.text(match["value"].strip().strip("'"), match["name"])
    if value is None:
        return None
    mended = "the operation reloads the server, and its plan says where only a restart makes the value hold"
    return use.op("postgres.setting", part, mended, name=match["name"], value=value)


def _reset(match: re.Match[str], _statement: str, use: Use, part: Part) -> Made | None:
    return None if match["name"].upper() == "ALL" else use.op("postgres.reset_setting", part, name=match["name"])


def _role(match: re.Match[str], statement: str, use: Use, part: Part) -> Made | None:
    if "$" in match["name"] or "<" in match["name"]:
        return None
    password = re.search(r"\bpassword\b", statement, re.I)
    mended = "the password that the manual spells out is not taken: a rotation gives the role one" if password else ""
    login = match["kind"].upper() == "USER" or (" LOGIN" in statement.upper() and "NOLOGIN" not in statement.upper())
    return use.op("postgres.role", part, mended, role=match["name"], login=None if login else False)


_PRIVILEGES = frozenset(["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"])


def _grant(match: re.Match[str], _statement: str, use: Use, part: Part) -> Made | None:
    privileges = [one.strip().upper() for one in match["privileges"].split(",")]
    if privileges in (["ALL"], ["ALL PRIVILEGES"]):
        privileges = sorted(_PRIVILEGES)
    if not set(privileges) <= _PRIVILEGES:
        return None
    where = match["where"].strip()
    schema = re.fullmatch(r"ALL\s+TABLES\s+IN\s+SCHEMA\s+(\w+)", where, re.I)
    tables = None if schema else [one.strip() for one in re.sub(r"^TABLE\s+", "", where, flags=re.I).split(",")]
    if tables and not all(re.fullmatch(_NAME, table) for table in tables):
        return None
    key = _schema_key(use, f"postgres.{match['verb'].lower()}")
    return use.op(
        f"postgres.{match['verb'].lower()}",
        part,
        role=match["role"],
        privileges=privileges,
        tables=tables,
        **({key: schema[1]} if schema else {}),
    )


def _schema_key(use: Use, operation: str) -> str:
    spec = use.context.catalogue.operations.get(operation)
    field = spec.parameters.model_fields.get("schema_") if spec else None
    return (field.alias or "schema_") if field is not None else "schema"


def _purge(match: re.Match[str], _statement: str, use: Use, part: Part) -> Made | None:
    older = duration(match["age"])
    if older is None:
        return None
    return use.op(
        "postgres.purge",
        part,
        "rows go in batches, so that no lock is long",
        table=match["table"],
        column=match["column"],
        older_than=older,
    )


def _slot(match: re.Match[str], _statement: str, use: Use, part: Part) -> Made:
    return use.op("postgres.drop_slot", part, slot=match["slot"])


def _seen(observe: str) -> Maker:
    """A look that an observation tells, where the book can hold it against a threshold; else the query itself."""

    def maker(_match: re.Match[str], _statement: str, use: Use, part: Part) -> Made | None:
        made = use.check(observe, part)
        return made if isinstance(made, list) else None

    return maker


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.I | re.S)


_MAKERS: tuple[tuple[re.Pattern[str], Maker], ...] = (
    (_pattern(rf"vacuum\b(?P<options>(?:\s*\([^)]*\)|\s+(?:full|freeze|verbose|analyze)\b)*)\s*(?P<tables>{_NAME}(?:\s*,\s*{_NAME})*)?\s*$"), _vacuum),  # noqa: E501
    (_pattern(rf"analyze\b(?:\s*\([^)]*\)|\s+verbose\b)?\s*(?P<tables>{_NAME}(?:\s*,\s*{_NAME})*)?\s*$"), _analyze),
    (_pattern(r"explain\b(?P<options>\s*\((?=[^)]*analyze)[^)]*\)|\s+analyze\b)?(?:\s*\([^)]*\)|\s+verbose\b)?\s*(?P<inner>(?:select|with|insert|update|delete)\b.*)$"), _explain),  # noqa: E501
    (_pattern(rf"reindex\b(?:\s*\([^)]*\))?\s*(?P<what>table|database|schema|system)\b(?:\s+concurrently)?\s*(?P<name>{_NAME})?"), _reindex),  # noqa: E501
    (_pattern(r".*\bpg_(?P<verb>terminate|cancel)_backend\s*\(\s*(?:\w+\.)?pid\s*\).*$"), _terminate),
    (_pattern(rf"create\s+(?P<unique>unique\s+)?index\s+(?:concurrently\s+)?(?:if\s+not\s+exists\s+)?(?P<name>\w+)\s+on\s+(?P<table>{_NAME})\s*(?:using\s+btree\s*)?\((?P<columns>[^()]*)\)"), _index),  # noqa: E501
    (_pattern(r"alter\s+system\s+set\s+(?P<name>[\w.]+)\s*(?:=|to)\s*(?P<value>.+)$"), _setting),
    (_pattern(r"alter\s+system\s+reset\s+(?P<name>[\w.]+)\s*$"), _reset),
    (_pattern(r"create\s+(?P<kind>user|role)\s+(?P<name>\S+)"), _role),
    (_pattern(r"(?P<verb>grant|revoke)\s+(?P<privileges>[\w\s,]+?)\s+on\s+(?P<where>.+?)\s+(?:to|from)\s+(?P<role>\w+)\s*$"), _grant),  # noqa: E501
    (_pattern(rf"delete\s+from\s+(?P<table>{_NAME})\s+where\s+(?P<column>\w+)\s*<=?\s*(?:now\(\)|current_timestamp|current_date)\s*-\s*interval\s*'(?P<age>[^']+)'\s*$"), _purge),  # noqa: E501
    (_pattern(r"select\s+pg_drop_replication_slot\s*\(\s*'(?P<slot>\w+)'\s*\)\s*$"), _slot),
    (_pattern(r"select\s+1\s*$"), _seen("postgres.up")),
    (_pattern(r"select\s+version\(\)\s*$"), _seen("postgres.up")),
    (_pattern(r"select\b.*\bfrom\s+pg_stat_replication\b(?!.*\bjoin\b)"), _seen("postgres.replication_lag")),
    (_pattern(r"select\s+count\(\*\)(?:\s+as\s+\w+)?\s+from\s+pg_stat_activity\s*$"), _seen("postgres.connections")),
    (_pattern(r"select\b.*\bfrom\s+pg_locks\s+where\s+not\s+granted\s*$"), _seen("postgres.waiting_locks")),
)  # fmt: skip
