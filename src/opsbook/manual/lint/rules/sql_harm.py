"""SQL that takes away more than was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, sql
from opsbook.manual.lint.facts.statements import Statement
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_SCOPE = re.compile(
    (
        r"\b(?:datname|usename|application_name|client_addr|backend_type|datid|usesysid|"
        r"leader_pid|query\s+(?:I?LIKE|~)|wait_event|pid\s*(?:=|IN\b|=\s*ANY))"
    ),
    re.I,
)


@rule(
    "OB210",
    "unscoped-terminate",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="pg_terminate_backend over everybody's sessions",
    reason=(
        "pg_stat_activity shows all databases, all users and the server's own processes. A "
        "running pg_dump and a walsender are sessions with state active: backups and "
        "replication die with the slow query. Idle sessions are the healthy ones of the "
        "pools."
    ),
    source="https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW",
    bad=sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active';"),
    good=sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity\n"
        "WHERE datname = 'shop' AND usename = 'app' AND state = 'active' AND query_start "
        "< now() - interval '5 minutes';"
    ),
)
def unscoped_terminate(context: Context) -> Iterator[Fault]:
    """Terminations that no database, user, application or pid narrows."""
    for statement in context.statements:
        if (
            not re.search(r"\bpg_(?:terminate|cancel)_backend\s*\(\s*(?:\w+\.)?pid", statement.bare, re.I)
            or "PG_STAT_ACTIVITY" not in statement.upper
        ):
            continue
        where = re.search(r"\bWHERE\b(.*)", statement.bare, re.I)
        conditions = re.sub(r"pid\s*(?:<>|!=)\s*pg_backend_pid\(\)", "", where[1], flags=re.I) if where else ""
        if _SCOPE.search(conditions):
            continue
        cancel = "pg_cancel" in statement.bare.lower()
        idle = re.search(r"state\s*=\s*'idle", conditions) and re.search(
            r"state_change|xact_start|query_start|interval", conditions
        )
        state = re.search(r"state\s*=\s*'([^']+)'", conditions)
        whose = f"every session that is {state[1]}" if state else "every session of the server"
        severity = Severity.WARNING if cancel or idle else None
        fault = FaultClass.UNSAFE if cancel or idle else None
        yield Fault(
            statement.find(r"pg_(?:terminate|cancel)_backend"),
            f"ends {whose}, of every database and user",
            Fix("add datname, usename or backend_type = 'client backend', and an age"),
            severity=severity,
            fault=fault,
        )


@rule(
    "OB213",
    "change-without-where",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="DELETE or UPDATE without WHERE, TRUNCATE",
    reason="Every row of the table is changed or gone.",
    source="https://www.postgresql.org/docs/current/sql-delete.html",
    bad=sql("DELETE FROM orders;"),
    good=sql("DELETE FROM orders WHERE created_at < now() - interval '2 years';"),
)
def change_without_where(context: Context) -> Iterator[Fault]:
    """Whole-table deletes and updates; TRUNCATE of tables that are not caches, logs or temporary."""
    for statement in context.statements:
        tree = statement.tree
        transient = re.search(r"\b\w*(?:tmp|temp|cache|log|staging|session|test|queue|stat)\w*\b", statement.bare, re.I)
        if re.search(r"\baudit\w*", statement.bare, re.I):  # what is kept for an auditor is no scratch
            transient = None
        kept = "audit" in statement.bare.lower()
        if isinstance(tree, (exp.Delete, exp.Update)) and tree.args.get("where") is None and not tree.args.get("using"):
            if (
                re.match(r"(?:DELETE|UPDATE)\b", statement.upper)
                and not statement.is_templated
                and "PG_STAT" not in statement.upper
            ):
                verb = "deletes" if isinstance(tree, exp.Delete) else "changes"
                settings = re.search(
                    r"\bUPDATE\s+\w*(?:settings|config|sequence|feature_flags)\w*\b|setval", statement.bare, re.I
                )
                told = re.search(r"reset|clear|wipe|purge|re-?initiali[sz]e", statement.comment, re.I)
                severity = Severity.HINT if transient or settings or (told and not kept) else None
                yield Fault(statement.place, f"{verb} every row", Fix("add a WHERE"), severity=severity)
        elif statement.upper.startswith("TRUNCATE") and not transient:
            yield Fault(statement.place, "TRUNCATE removes every row", severity=Severity.WARNING)


@rule(
    "OB214",
    "drop-without-backup",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="DROP of a database, schema or table with no backup ahead of it",
    reason=("A drop cannot be undone but by a restore, and a restore that nobody took a backup for cannot be made."),
    source="https://www.postgresql.org/docs/current/sql-dropdatabase.html",
    bad=sh('psql -U postgres -d postgres -c "DROP DATABASE shop;"\ncreatedb -U postgres shop'),
    good=sh('pg_dump -U postgres -Fc -f before.dump shop\npsql -U postgres -d postgres -c "DROP DATABASE shop;"'),
)
def drop_without_backup(context: Context) -> Iterator[Fault]:
    """DROP DATABASE, SCHEMA, TABLE and dropdb; not of test, old or temporary things."""
    for statement in context.statements:
        found = re.match(r"DROP (DATABASE|SCHEMA|TABLE)\s+(?:IF EXISTS\s+)?(\S+)", statement.bare, re.I)
        if found and not _harmless(found[2]) and not _saved(context, statement):
            name = found[2].strip('"')
            yield Fault(statement.place, f"drops {found[1].lower()} {name} and takes no backup before")
    for step in context.steps:
        if step.program == "dropdb" and step.call and step.call.words and not _harmless(step.call.words[-1]):
            ahead = (
                " ".join(s.command.text for s in step.block.before(step))
                + " "
                + context.section_text(step.block.section_path)
            )
            if not re.search(r"pg_dump|backup|snapshot", ahead):
                yield Fault(step.place, f"drops database {step.call.words[-1]} and takes no backup before")


def _harmless(name: str) -> bool:
    return bool(
        re.search(
            r"test|tmp|temp|old|_bak|backup|staging|restore|verify|drill|scratch|rehears|copy|_dr\b|partition|_y?\d{4}",
            name,
            re.I,
        )
    )


def _saved(context: Context, statement: Statement) -> bool:
    ahead = " ".join(s.command.text for s in statement.step.block.before(statement.step)) if statement.step else ""
    section = f"{' '.join(statement.section_path)} {context.section_text(statement.section_path)}"
    return bool(
        re.search(r"pg_dump|mysqldump|backup|snapshot|restor|migrat|rollback|develop|reset", f"{ahead} {section}", re.I)
    )


@rule(
    "OB217",
    "not-in-a-transaction",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary=(
        "Several statements in one psql -c, one of which cannot run in a transaction; or a database that drops itself"
    ),
    reason=(
        "psql sends the text of one -c as a single transaction: DROP DATABASE, VACUUM, ALTER "
        "SYSTEM, REINDEX DATABASE and CREATE INDEX CONCURRENTLY are refused there. And "
        "nobody can drop the database that he is connected to."
    ),
    source=(
        "https://www.postgresql.org/docs/current/app-psql.html (-c), "
        "https://www.postgresql.org/docs/current/sql-dropdatabase.html"
    ),
    bad=sh('psql -U app -d postgres -c "DROP DATABASE shop_test; CREATE DATABASE shop_test;"'),
    good=sh('psql -U app -d postgres -c "DROP DATABASE shop_test" -c "CREATE DATABASE shop_test"'),
)
def not_in_a_transaction(context: Context) -> Iterator[Fault]:
    """By the step that carries the statements; files and here-documents are not one transaction."""
    alone = re.compile(
        (
            r"(VACUUM|DROP DATABASE|CREATE DATABASE|ALTER SYSTEM|REINDEX (?:DATABASE|SYSTEM)|"
            r"(?:CREATE|DROP) (?:UNIQUE )?INDEX CONCURRENTLY|REINDEX \w+ CONCURRENTLY|CREATE "
            r"TABLESPACE|DROP TABLESPACE)\b"
        ),
        re.I,
    )
    by_step: dict[int, list[Statement]] = {}
    for statement in context.statements:
        step = statement.step
        if (
            step is not None
            and step.program == "psql"
            and step.call is not None
            and step.call.has("-c", "--command")
            and statement.dialect == "postgres"
        ):
            by_step.setdefault(id(step), []).append(statement)
    for group in by_step.values():
        step = group[0].step
        assert step is not None and step.call is not None
        carried = len(step.call.values("-c", "--command"))
        for statement in group:
            found = alone.match(statement.bare)
            if found and len(group) > carried:
                yield Fault(
                    statement.place,
                    f"{found[1].upper()} cannot run inside a transaction, and one -c with several statements is one",
                    Fix("a -c for each statement"),
                )
            drop = re.match(r"DROP DATABASE\s+(?:IF EXISTS\s+)?[\"']?([\w${}-]+)", statement.bare, re.I)
            if drop and drop[1].strip("${}") in {(_connected(step) or "?").strip("${}")}:
                yield Fault(
                    statement.place,
                    f"is connected to {drop[1]} itself: cannot drop the currently open database",
                    Fix("-d postgres"),
                )


def _connected(step: Step) -> str:
    """The database a psql is connected to: named, or the user's."""
    call = step.call
    assert call is not None
    named = call.value("-d", "--dbname") or (call.words[0] if call.words else "")
    user = call.value("-U", "--username") or ""
    values = {a.name: a.value.value or a.value.text for s in step.block.top for a in s.command.assignments}
    text = named or user
    return values.get(text.strip('${}"'), text)


@rule(
    "OB215",
    "delete-in-one-go",
    FaultClass.UNSAFE,
    Severity.HINT,
    summary="Old rows deleted in one statement",
    reason=(
        "Millions of rows in one transaction hold locks for long, bloat the table and delay "
        "replicas. Batches, or dropping a partition, do not."
    ),
    source="https://www.postgresql.org/docs/current/ddl-partitioning.html",
    bad=sql("DELETE FROM events WHERE created_at < now() - interval '90 days';"),
    good=sql(
        "DELETE FROM events WHERE ctid = ANY (ARRAY(SELECT ctid FROM events WHERE "
        "created_at < now() - interval '90 days' LIMIT 10000));"
    ),
)
def delete_in_one_go(context: Context) -> Iterator[Fault]:
    """DELETE by age without LIMIT."""
    for statement in context.statements:
        if re.match(r"DELETE FROM .*\bWHERE\b.*\bINTERVAL\b", statement.bare, re.I) and "LIMIT" not in statement.upper:
            yield Fault(statement.place, "deletes all old rows in one transaction", Fix("delete in batches"))
