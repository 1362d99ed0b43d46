"""SQL that takes away or locks more than was meant."""

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

_SCOPE = re.compile(r"\b(?:datname|usename|application_name|client_addr|backend_type|datid|usesysid|leader_pid|query\s+(?:I?LIKE|~)|wait_event|pid\s*(?:=|IN\b|=\s*ANY))", re.I)
_OFFLINE = re.compile(r"maintenance mode|stop(?:ped|s)? (?:the )?(?:app|api|service|writes)|--replicas=0|maintenance window|off-?peak|low[- ]traffic|downtime|off[- ]hours", re.I)


@rule(
    "OB210", "unscoped-terminate", FaultClass.DESTROYS, Severity.ERROR,
    summary="pg_terminate_backend over everybody's sessions",
    reason="pg_stat_activity shows all databases, all users and the server's own processes. A running pg_dump and a walsender are sessions with "
           "state active: backups and replication die with the slow query. Idle sessions are the healthy ones of the pools.",
    source="https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW",
    bad=sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active';"),
    good=sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity\n"
             "WHERE datname = 'shop' AND usename = 'app' AND state = 'active' AND query_start < now() - interval '5 minutes';"),
)  # fmt: skip
def unscoped_terminate(context: Context) -> Iterator[Fault]:
    """Terminations that no database, user, application or pid narrows."""
    for statement in context.statements:
        if not re.search(r"\bpg_(?:terminate|cancel)_backend\s*\(\s*(?:\w+\.)?pid", statement.bare, re.I) or "PG_STAT_ACTIVITY" not in statement.upper:
            continue
        where = re.search(r"\bWHERE\b(.*)", statement.bare, re.I)
        conditions = re.sub(r"pid\s*(?:<>|!=)\s*pg_backend_pid\(\)", "", where[1], flags=re.I) if where else ""
        if _SCOPE.search(conditions):
            continue
        cancel = "pg_cancel" in statement.bare.lower()
        idle = "idle in transaction" in conditions and re.search(r"state_change|xact_start|query_start|interval", conditions)
        state = re.search(r"state\s*=\s*'([^']+)'", conditions)
        whose = f"every session that is {state[1]}" if state else "every session of the server"
        severity = Severity.WARNING if cancel or idle else None
        fault = FaultClass.UNSAFE if cancel or idle else None
        yield Fault(statement.find(r"pg_(?:terminate|cancel)_backend"), f"ends {whose}, of every database and user",
                    Fix("add datname, usename or backend_type = 'client backend', and an age"), severity=severity, fault=fault)  # fmt: skip


@rule(
    "OB211", "vacuum-full", FaultClass.UNSAFE, Severity.WARNING,
    summary="VACUUM FULL or CLUSTER of a live database",
    reason="It rewrites each table under ACCESS EXCLUSIVE: nobody reads or writes it meanwhile, and the disk must hold a second copy. Plain VACUUM, or pg_repack, does "
           "not stop the system.",
    source="https://www.postgresql.org/docs/current/sql-vacuum.html",
    bad=sql("VACUUM FULL ANALYZE;"),
    good=sql("VACUUM (ANALYZE) orders;"),
)  # fmt: skip
def vacuum_full(context: Context) -> Iterator[Fault]:
    """VACUUM FULL without a table; of one table where no room is checked and nothing says that the system is down."""
    for statement in context.statements:
        found = re.match(r"VACUUM\s*(?:\(([^)]*)\)|((?:FULL|FREEZE|VERBOSE|ANALYZE|\s)+))?\s*(\S*)", statement.bare, re.I)
        if not found or "FULL" not in f"{found[1] or ''} {found[2] or ''}".upper():
            continue
        section = context.section_text(statement.section_path) + " " + " ".join(statement.section_path)
        room = re.search(r"free space|disk space|df -h|pg_total_relation_size|room", section)
        if not found[3]:
            yield Fault(statement.place, "VACUUM FULL of the whole database locks every table in turn and needs room for a second copy", Fix("VACUUM, or pg_repack one table"))
        elif not (room or _OFFLINE.search(section)):
            yield Fault(statement.place, f"VACUUM FULL locks {found[3]} against reads and writes while it is rewritten", Fix("VACUUM, or pg_repack"))


@rule(
    "OB212", "reindex-locks", FaultClass.UNSAFE, Severity.WARNING,
    summary="REINDEX that blocks writers",
    reason="Without CONCURRENTLY, REINDEX locks the table against writes and its index against reads until it is done.",
    source="https://www.postgresql.org/docs/current/sql-reindex.html",
    bad=sql("REINDEX TABLE orders;"),
    good=sql("REINDEX TABLE CONCURRENTLY orders;"),
)  # fmt: skip
def reindex_locks(context: Context) -> Iterator[Fault]:
    """REINDEX without CONCURRENTLY where the system is not stopped."""
    for statement in context.statements:
        found = re.match(r"REINDEX\s+(?:\([^)]*\)\s*)?(TABLE|INDEX|SCHEMA|DATABASE|SYSTEM)\s+(?!CONCURRENTLY)(\S+)", statement.bare, re.I)
        if not found or statement.dialect != "postgres":
            continue
        block = statement.step.block if statement.step else None
        stopped = block and any(s.call and s.call.verb == "scale" and s.call.value("--replicas") == "0" for s in block.top)
        section = context.section_text(statement.section_path)
        if stopped or re.search(r"maintenance mode|stop the app|application (?:is )?stopped|downtime|corrupt|single-user|offline", section):
            continue
        yield Fault(statement.place, f"REINDEX {found[1].upper()} {found[2]} blocks writes until it is done", Fix(f"REINDEX {found[1].upper()} CONCURRENTLY {found[2]}"))


@rule(
    "OB213", "change-without-where", FaultClass.DESTROYS, Severity.ERROR,
    summary="DELETE or UPDATE without WHERE, TRUNCATE",
    reason="Every row of the table is changed or gone.",
    source="https://www.postgresql.org/docs/current/sql-delete.html",
    bad=sql("DELETE FROM orders;"),
    good=sql("DELETE FROM orders WHERE created_at < now() - interval '2 years';"),
)  # fmt: skip
def change_without_where(context: Context) -> Iterator[Fault]:
    """Whole-table deletes and updates; TRUNCATE of tables that are not caches, logs or temporary."""
    for statement in context.statements:
        tree = statement.tree
        transient = re.search(r"\b\w*(?:tmp|temp|cache|log|staging|session|test|queue|stat)\w*\b", statement.bare, re.I)
        if isinstance(tree, (exp.Delete, exp.Update)) and tree.args.get("where") is None and not tree.args.get("using"):
            if re.match(r"(?:DELETE|UPDATE)\b", statement.upper) and not statement.is_templated and "PG_STAT" not in statement.upper:
                verb = "deletes" if isinstance(tree, exp.Delete) else "changes"
                settings = re.search(r"\bUPDATE\s+\w*(?:settings|config|sequence|feature_flags)\w*\b|setval", statement.bare, re.I)
                told = re.search(r"reset|clear|wipe|purge|re-?initiali[sz]e", statement.comment, re.I)
                severity = Severity.HINT if transient or settings or told else None
                yield Fault(statement.place, f"{verb} every row", Fix("add a WHERE"), severity=severity)
        elif statement.upper.startswith("TRUNCATE") and not transient:
            yield Fault(statement.place, "TRUNCATE removes every row", severity=Severity.WARNING)


@rule(
    "OB214", "drop-without-backup", FaultClass.DESTROYS, Severity.WARNING,
    summary="DROP of a database, schema or table with no backup ahead of it",
    reason="A drop cannot be undone but by a restore, and a restore that nobody took a backup for cannot be made.",
    source="https://www.postgresql.org/docs/current/sql-dropdatabase.html",
    bad=sh('psql -U postgres -d postgres -c "DROP DATABASE shop;"\ncreatedb -U postgres shop'),
    good=sh('pg_dump -U postgres -Fc -f before.dump shop\npsql -U postgres -d postgres -c "DROP DATABASE shop;"'),
)  # fmt: skip
def drop_without_backup(context: Context) -> Iterator[Fault]:
    """DROP DATABASE, SCHEMA, TABLE and dropdb; not of test, old or temporary things."""
    for statement in context.statements:
        found = re.match(r"DROP (DATABASE|SCHEMA|TABLE)\s+(?:IF EXISTS\s+)?(\S+)", statement.bare, re.I)
        if found and not _harmless(found[2]) and not _saved(context, statement):
            name = found[2].strip('"')
            yield Fault(statement.place, f"drops {found[1].lower()} {name} and takes no backup before")
    for step in context.steps:
        if step.program == "dropdb" and step.call and step.call.words and not _harmless(step.call.words[-1]):
            ahead = " ".join(s.command.text for s in step.block.before(step)) + " " + context.section_text(step.block.section_path)
            if not re.search(r"pg_dump|backup|snapshot", ahead):
                yield Fault(step.place, f"drops database {step.call.words[-1]} and takes no backup before")


def _harmless(name: str) -> bool:
    return bool(re.search(r"test|tmp|temp|old|_bak|backup|staging|restore|verify|drill|scratch|rehears|copy|_dr\b|partition|_y?\d{4}", name, re.I))


def _saved(context: Context, statement: Statement) -> bool:
    ahead = " ".join(s.command.text for s in statement.step.block.before(statement.step)) if statement.step else ""
    section = f"{' '.join(statement.section_path)} {context.section_text(statement.section_path)}"
    return bool(re.search(r"pg_dump|mysqldump|backup|snapshot|restor|migrat|rollback|develop|reset", f"{ahead} {section}", re.I))


@rule(
    "OB217", "not-in-a-transaction", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="Several statements in one psql -c, one of which cannot run in a transaction; or a database that drops itself",
    reason="psql sends the text of one -c as a single transaction: DROP DATABASE, VACUUM, ALTER SYSTEM, REINDEX DATABASE and CREATE INDEX CONCURRENTLY are refused there. And nobody can drop the database that he is "
           "connected to.",
    source="https://www.postgresql.org/docs/current/app-psql.html (-c), https://www.postgresql.org/docs/current/sql-dropdatabase.html",
    bad=sh('psql -U app -d postgres -c "DROP DATABASE shop_test; CREATE DATABASE shop_test;"'),
    good=sh('psql -U app -d postgres -c "DROP DATABASE shop_test" -c "CREATE DATABASE shop_test"'),
)  # fmt: skip
def not_in_a_transaction(context: Context) -> Iterator[Fault]:
    """By the step that carries the statements; files and here-documents are not one transaction."""
    alone = re.compile(r"(VACUUM|DROP DATABASE|CREATE DATABASE|ALTER SYSTEM|REINDEX (?:DATABASE|SYSTEM)|(?:CREATE|DROP) (?:UNIQUE )?INDEX CONCURRENTLY|REINDEX \w+ CONCURRENTLY|CREATE TABLESPACE|DROP TABLESPACE)\b", re.I)
    by_step: dict[int, list[Statement]] = {}
    for statement in context.statements:
        step = statement.step
        if step is not None and step.program == "psql" and step.call is not None and step.call.has("-c", "--command") and statement.dialect == "postgres":
            by_step.setdefault(id(step), []).append(statement)
    for group in by_step.values():
        step = group[0].step
        assert step is not None and step.call is not None
        carried = len(step.call.values("-c", "--command"))
        for statement in group:
            found = alone.match(statement.bare)
            if found and len(group) > carried:
                yield Fault(statement.place, f"{found[1].upper()} cannot run inside a transaction, and one -c with several statements is one", Fix("a -c for each statement"))
            drop = re.match(r"DROP DATABASE\s+(?:IF EXISTS\s+)?[\"']?([\w${}-]+)", statement.bare, re.I)
            if drop and drop[1].strip("${}") in {(_connected(step) or "?").strip("${}")}:
                yield Fault(statement.place, f"is connected to {drop[1]} itself: cannot drop the currently open database", Fix("-d postgres"))


def _connected(step: Step) -> str:
    """The database a psql is connected to: named, or the user's."""
    call = step.call
    assert call is not None
    named = call.value("-d", "--dbname") or (call.words[0] if call.words else "")
    user = call.value("-U", "--username") or ""
    values = {a.name: a.value.value or a.value.text for s in step.block.top for a in s.command.assignments}
    text = named or user
    return values.get(text.strip("${}\""), text)


@rule(
    "OB218", "index-dropped-with-lock", FaultClass.UNSAFE, Severity.HINT,
    summary="DROP INDEX on a live table without CONCURRENTLY",
    reason="It waits for, and then blocks, every other access to the table while it holds an exclusive lock.",
    source="https://www.postgresql.org/docs/current/sql-dropindex.html",
    bad=sql("DROP INDEX idx_orders_old;"),
    good=sql("DROP INDEX CONCURRENTLY idx_orders_old;"),
)  # fmt: skip
def index_dropped(context: Context) -> Iterator[Fault]:
    """DROP INDEX in PostgreSQL."""
    for statement in context.statements:
        if re.match(r"DROP INDEX (?!CONCURRENTLY)", statement.bare, re.I) and statement.dialect == "postgres" and not _OFFLINE.search(context.section_text(statement.section_path)):
            yield Fault(statement.place, "locks the table against every access", Fix("DROP INDEX CONCURRENTLY"))


@rule(
    "OB219", "query-beside-the-point", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="A query that does not answer what its comment asks",
    reason="pg_stats describes the values of columns; whether an index is used stands in pg_stat_user_indexes.idx_scan. The answer looks right and says nothing.",
    source="https://www.postgresql.org/docs/current/view-pg-stats.html",
    bad=sql("-- Check for unused indexes\nSELECT schemaname, tablename, attname FROM pg_stats;"),
    good=sql("-- Check for unused indexes\nSELECT relname, indexrelname FROM pg_stat_user_indexes WHERE idx_scan = 0;"),
)  # fmt: skip
def beside_the_point(context: Context) -> Iterator[Fault]:
    """Unused indexes asked of pg_stats or pg_indexes; bloat asked of pg_stats."""
    for statement in context.statements:
        said = f"{statement.comment} {statement.step.comment if statement.step else ''}"
        if re.search(r"unused index|index usage", said, re.I) and re.search(r"\bFROM (?:pg_stats|pg_indexes)\b", statement.bare, re.I) and "idx_scan" not in statement.bare:
            yield Fault(statement.find(r"pg_stats|pg_indexes"), "says nothing of the use of indexes", Fix("pg_stat_user_indexes, idx_scan = 0"))


@rule(
    "OB215", "delete-in-one-go", FaultClass.UNSAFE, Severity.HINT,
    summary="Old rows deleted in one statement",
    reason="Millions of rows in one transaction hold locks for long, bloat the table and delay replicas. Batches, or dropping a partition, do not.",
    source="https://www.postgresql.org/docs/current/ddl-partitioning.html",
    bad=sql("DELETE FROM events WHERE created_at < now() - interval '90 days';"),
    good=sql("DELETE FROM events WHERE ctid = ANY (ARRAY(SELECT ctid FROM events WHERE created_at < now() - interval '90 days' LIMIT 10000));"),
)  # fmt: skip
def delete_in_one_go(context: Context) -> Iterator[Fault]:
    """DELETE by age without LIMIT."""
    for statement in context.statements:
        if re.match(r"DELETE FROM .*\bWHERE\b.*\bINTERVAL\b", statement.bare, re.I) and "LIMIT" not in statement.upper:
            yield Fault(statement.place, "deletes all old rows in one transaction", Fix("delete in batches"))


@rule(
    "OB216", "index-locks", FaultClass.UNSAFE, Severity.WARNING,
    summary="CREATE INDEX on a live table without CONCURRENTLY, or CONCURRENTLY inside a transaction",
    reason="CREATE INDEX blocks all writes to the table until it is built. CONCURRENTLY does not, but it cannot run inside a transaction block.",
    source="https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY",
    bad="## Slow queries in production\n\n" + sql("CREATE INDEX idx_orders_user ON orders (user_id);"),
    good="## Slow queries in production\n\n" + sql("CREATE INDEX CONCURRENTLY idx_orders_user ON orders (user_id);"),
)  # fmt: skip
def index_locks(context: Context) -> Iterator[Fault]:
    """Indexes on tables that the same block does not create; concurrent ones between BEGIN and COMMIT."""
    created: set[tuple[int, str]] = set()
    open_in: dict[int, bool] = {}
    for statement in context.statements:
        block = statement.fence.line if statement.fence else (statement.step.block.line if statement.step else 0)
        if statement.upper in ("BEGIN", "BEGIN TRANSACTION", "START TRANSACTION"):
            open_in[block] = True
        elif statement.upper in ("COMMIT", "ROLLBACK", "END"):
            open_in[block] = False
        table = re.match(r"CREATE TABLE (?:IF NOT EXISTS )?(\S+)", statement.bare, re.I)
        if table:
            created.add((block, table[1].lower()))
        found = re.match(r"CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?.*?\bON (?:ONLY )?([\w.\"]+)", statement.bare, re.I)
        if not found or statement.dialect != "postgres":
            alone = re.match(r"(VACUUM|CREATE DATABASE|DROP DATABASE|ALTER SYSTEM)\b", statement.bare, re.I)
            if alone and open_in.get(block) and statement.dialect == "postgres":
                yield Fault(statement.place, f"{alone[1].upper()} cannot run inside a transaction block", severity=Severity.ERROR, fault=FaultClass.WILL_NOT_RUN)
            continue
        if found[1] and open_in.get(block):
            yield Fault(statement.place, "CREATE INDEX CONCURRENTLY cannot run inside a transaction block", severity=Severity.ERROR, fault=FaultClass.WILL_NOT_RUN)
        elif not found[1] and (block, found[2].lower()) not in created and not _OFFLINE.search(context.section_text(statement.section_path)):
            yield Fault(statement.place, f"blocks writes to {found[2]} until the index is built", Fix("CREATE INDEX CONCURRENTLY"))
