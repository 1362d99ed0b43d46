"""SQL against what PostgreSQL's servers have: columns, functions, settings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from opsbook.manual.catalogue import postgres
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sql
from opsbook.manual.lint.facts.sources import unknown_columns
from opsbook.manual.lint.facts.statements import STAND_IN, Statement
from opsbook.manual.lint.finding import Edit, FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule

_CATALOGUE = (
    "PostgreSQL 15, 16 and 18, read from their catalogues; "
    "https://www.postgresql.org/docs/current/monitoring-stats.html"
)


def _postgres(context: Context) -> Iterator[Statement]:
    for statement in context.statements:
        if statement.dialect == "postgres":
            yield statement


def _rename(at: Place, old: str, new: str) -> Fix:
    edits = (Edit(at.line, at.column, at.column + len(old), new),) if re.fullmatch(r"\w+", new) else ()
    return Fix(f"{new} instead of {old}", edits, safe=False)


@rule(
    "OB201",
    "column-unknown",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A column that a system view does not have in any version",
    reason=(
        "The statement fails: column does not exist. The statistics views name their table "
        "relname and their index indexrelname, not tablename and indexname as pg_tables and "
        "pg_indexes do."
    ),
    source=_CATALOGUE,
    bad=sql("SELECT tablename, n_dead_tup FROM pg_stat_user_tables;"),
    good=sql("SELECT relname, n_dead_tup FROM pg_stat_user_tables;\nSELECT tablename FROM pg_tables;"),
)
def column_unknown(context: Context) -> Iterator[Fault]:
    """Columns of system relations that no version has and none had."""
    for statement in _postgres(context):
        if statement.tree is None:
            continue
        missing: dict[str, list[str]] = {}
        for relation, column in unknown_columns(statement.tree):
            if column == STAND_IN and statement.is_templated:
                continue
            if not postgres.renamed_column(relation, column) and column not in missing.setdefault(relation, []):
                missing[relation].append(column)
        for relation, columns in missing.items():
            if columns:
                at = statement.find(rf"\b{re.escape(columns[0])}\b")
                said = f"no column {columns[0]}" if len(columns) == 1 else f"no columns {', '.join(columns)}"
                yield Fault(at, f"{relation} has {said}", _meant(relation, columns, at))


_PERIODS = ("query_time", "duration", "start_time")


def _meant(relation: str, columns: list[str], at: Place) -> Fix | None:
    near = {column: postgres.nearest_column(relation, column) for column in columns}
    known = [(old, new) for old, new in near.items() if new]
    if not known:
        return None
    if len(columns) == 1 and columns[0] not in _PERIODS:
        return _rename(at, columns[0], near[columns[0]])
    words = [f"now() - {new} for {old}" if old in _PERIODS else f"{new} instead of {old}" for old, new in known]
    return Fix(", ".join(words))


@rule(
    "OB202",
    "column-renamed",
    FaultClass.DEPRECATED,
    Severity.ERROR,
    summary="A column under a name that a later version changed",
    reason="Every supported version that came after the change answers: column does not exist.",
    source=("https://www.postgresql.org/docs/release/13.0/ (pg_stat_statements), /17.0/ (checkpointer), /10.0/ (lsn)"),
    bad=sql("SELECT query, mean_time FROM pg_stat_statements ORDER BY mean_time DESC;"),
    good=sql("SELECT query, mean_exec_time FROM pg_stat_statements ORDER BY mean_exec_time DESC;"),
)
def column_renamed(context: Context) -> Iterator[Fault]:
    """Columns with an entry in the history, of relations in this statement."""
    for statement in _postgres(context):
        if statement.tree is None or _version_switch(statement):
            continue
        given = {alias.alias.lower() for alias in statement.tree.find_all(exp.Alias) if alias.alias}
        used = {column.name.lower() for column in statement.tree.find_all(exp.Column)} - given
        for table in statement.tree.find_all(exp.Table):
            relation = table.name.lower()
            for column in sorted(used):
                became = postgres.renamed_column(relation, column)
                if became is None or (became.since >= 17 and not _is_version(context, became.since)):
                    continue
                at = statement.find(rf"\b{re.escape(column)}\b")
                since = f"{became.since:g}"
                text = (
                    f"is {became.now} since PostgreSQL {since}" if became.now else f"is gone since PostgreSQL {since}"
                )
                edits = _every(statement, column, became.now) if re.fullmatch(r"\w+", became.now) else ()
                fix = Fix(f"{became.now} instead of {column}", edits, safe=bool(edits)) if became.now else None
                yield Fault(at, f"{relation}.{column} {text}", fix, subject=f"{relation}.{column}")


def _every(statement: Statement, old: str, new: str) -> tuple[Edit, ...]:
    edits = []
    for found in re.finditer(rf"\b{re.escape(old)}\b", statement.text):
        line, column = statement.locate(found.start())
        edits.append(Edit(line, column, column + len(old), new))
    return tuple(edits)


def _version_switch(statement: Statement) -> bool:
    said = f"{statement.comment} {statement.step.comment if statement.step else ''}"
    return bool(
        re.search(
            r"(?:pg|postgres\w*|version)\s*(?:<|<=|≤|up to|before|pre-?|older than)?\s*(?:9|1[0-2])\b", said, re.I
        )
    )


def _is_version(context: Context, since: float) -> bool:
    """Whether the manual says that its server is at least of that version."""
    found = re.search(r"postgres(?:ql)?[ :v-]*(\d{2})\b", context.text)
    return bool(found) and float(found[1]) >= since if found else False


@rule(
    "OB203",
    "function-gone",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A pg_ function that servers do not have, or no longer",
    reason=(
        "The xlog functions became wal functions in version 10, the exclusive backup "
        "functions went in 15; a name that never was fails in every version."
    ),
    source=("https://www.postgresql.org/docs/release/10.0/, https://www.postgresql.org/docs/release/15.0/"),
    bad=sql("SELECT pg_start_backup('nightly');"),
    good=sql("SELECT pg_backup_start('nightly', fast => true);"),
)
def function_gone(context: Context) -> Iterator[Fault]:
    """Functions named pg_… that the catalogue does not hold, where it has one much like it or the history tells."""
    for statement in _postgres(context):
        for found in re.finditer(r"\b(pg_\w+)\s*\(", statement.text):
            name = found[1].lower()
            if (
                postgres.function_known(name)
                or postgres.relation_known(name)
                or re.search(r"\bFUNCTION\b", statement.upper)
            ):
                continue
            became, near = postgres.renamed_function(name), postgres.nearest_function(name)
            at = statement.find(rf"\b{name}\b")
            if became:
                words = f"is {became.now} since" if became.now else "is gone since"
                fix = (
                    _rename(at, name, became.now)
                    if became.now and name not in ("pg_start_backup", "pg_stop_backup")
                    else None
                )
                yield Fault(at, f"{name} {words} PostgreSQL {became.since:g}", fix, fault=FaultClass.DEPRECATED)
            elif near:
                yield Fault(at, f"PostgreSQL has no function {name}", Fix(f"{near}?"))


_ALTER = re.compile(r"^ALTER SYSTEM (?:SET|RESET) ([\w.]+)", re.I)
_RESTART = re.compile(
    (
        r"pg_ctl\b.*restart|pg_ctlcluster.*restart|systemctl (?:re)?start.*postgres|service "
        r"postgres\w* restart|docker(?:[ -]compose)?\b.*\brestart\b|rollout restart|restart (?:of "
        r")?(?:the )?(?:postgres|database|server)|requires? (?:a )?(?:server |database |"
        r"postgres\w* )?restart|restart (?:is )?(?:required|needed)|needs? a restart|restart "
        r"postgres"
    ),
    re.I,
)
_RELOAD = re.compile(r"pg_reload_conf|reload|SIGHUP", re.I)


def _around(context: Context, statement: Statement) -> str:
    """The section of the statement, to find a restart or a reload; a comment right above a reload is the reload's."""
    return _SAID_BUT_RELOADS.sub(r"\1", context.section_text(statement.section_path))


_SAID_BUT_RELOADS = re.compile(r"(?:--|#)[^\n]*\n(\s*select\s+pg_reload_conf|\s*systemctl\s+reload|\s*pg_ctl\s+reload)")


@rule(
    "OB204",
    "setting-needs-restart",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A setting that only a restart applies, and no restart follows",
    reason=(
        "Settings of context postmaster are read when the server starts. ALTER SYSTEM writes "
        "them down; a reload does not apply them."
    ),
    source="pg_settings.context; https://www.postgresql.org/docs/current/view-pg-settings.html",
    bad=sql("ALTER SYSTEM SET shared_buffers = '4GB';\nSELECT pg_reload_conf();"),
    good=("Restart PostgreSQL after this.\n\n") + sql("ALTER SYSTEM SET shared_buffers = '4GB';"),
)
def setting_needs_restart(context: Context) -> Iterator[Fault]:
    """ALTER SYSTEM of postmaster settings in a section that says nothing of a restart."""
    for statement in _postgres(context):
        found = _ALTER.match(statement.bare)
        setting = postgres.setting(found[1]) if found else None
        if found and setting and setting.context == "postmaster" and not _RESTART.search(_around(context, statement)):
            yield Fault(
                statement.find(rf"\b{setting.name}\b"),
                f"{setting.name} is applied by a restart only, and none follows",
                Fix("restart the server after it"),
                subject=f"restart-{statement.section_path}",
            )


@rule(
    "OB205",
    "setting-needs-reload",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="ALTER SYSTEM without a reload",
    reason=("ALTER SYSTEM only writes postgresql.auto.conf. Nothing changes until pg_reload_conf() or a restart."),
    source="https://www.postgresql.org/docs/current/sql-altersystem.html",
    bad=sql("ALTER SYSTEM SET log_min_duration_statement = 100;"),
    good=sql("ALTER SYSTEM SET log_min_duration_statement = 100;\nSELECT pg_reload_conf();"),
)
def setting_needs_reload(context: Context) -> Iterator[Fault]:
    """ALTER SYSTEM of reloadable settings in a section without reload or restart; SQL in wrongly tagged blocks too."""
    for statement in _postgres(context):
        found = _ALTER.match(statement.bare)
        setting = postgres.setting(found[1]) if found else None
        around = _around(context, statement)
        if (
            found
            and setting
            and setting.context != "postmaster"
            and not _RELOAD.search(around)
            and not _RESTART.search(around)
        ):
            yield Fault(
                statement.find(rf"\b{setting.name}\b"),
                f"{setting.name} is only written down: no pg_reload_conf() follows",
                Fix("SELECT pg_reload_conf();"),
                subject=f"reload-{statement.section_path}",
            )


@rule(
    "OB206",
    "setting-unknown",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A server setting that does not exist, or no longer",
    reason=(
        "The server refuses ALTER SYSTEM and SET of unknown names; in postgresql.conf an "
        "unknown name keeps the server from starting."
    ),
    source="pg_settings of PostgreSQL 15, 16 and 18",
    bad=sql("ALTER SYSTEM SET wal_keep_segments = 64;"),
    good=sql("ALTER SYSTEM SET wal_keep_size = '1GB';\nSELECT pg_reload_conf();"),
)
def setting_unknown(context: Context) -> Iterator[Fault]:
    """ALTER SYSTEM SET, SET and SHOW of names without a dot that no server has."""
    for statement in _postgres(context):
        found = re.match(
            r"(ALTER SYSTEM SET|SET(?: SESSION| LOCAL)?|SHOW) ([a-z_]+)\s*(?:=|TO\b|$)", statement.bare, re.I
        )
        if not found or statement.is_templated:
            continue
        name = found[2].lower()
        if postgres.setting(name) or name in (
            "all",
            "search_path",
            "role",
            "timezone",
            "names",
            "transaction",
            "session",
            "time",
            "constraints",
            "local",
            "global",
        ):
            continue
        became, near = postgres.renamed_setting(name), postgres.nearest_setting(name)
        at = statement.find(rf"\b{name}\b")
        if became:
            words = f"is {became.now} since" if became.now else "is gone since"
            yield Fault(at, f"the setting {name} {words} PostgreSQL {became.since:g}", fault=FaultClass.DEPRECATED)
        elif near and "_" in name:
            yield Fault(at, f"PostgreSQL has no setting {name}", Fix(f"{near}?"))
