"""SQL that locks out everybody else, or answers another question."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sql
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_OFFLINE = re.compile(
    (
        r"maintenance mode|stop(?:ped|s)? (?:the )?(?:app|api|service|writes)|--replicas=0|"
        r"maintenance window|off-?peak|low[- ]traffic|downtime|off[- ]hours"
    ),
    re.I,
)


@rule(
    "OB211",
    "vacuum-full",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="VACUUM FULL or CLUSTER of a live database",
    reason=(
        "It rewrites each table under ACCESS EXCLUSIVE: nobody reads or writes it meanwhile, "
        "and the disk must hold a second copy. Plain VACUUM, or pg_repack, does not stop the "
        "system."
    ),
    source="https://www.postgresql.org/docs/current/sql-vacuum.html",
    bad=sql("VACUUM FULL ANALYZE;"),
    good=sql("VACUUM (ANALYZE) orders;"),
)
def vacuum_full(context: Context) -> Iterator[Fault]:
    """VACUUM FULL without a table; of one table where no room is checked and nothing says that the system is down."""
    for step in context.steps:
        whole = step.program == "vacuumdb" and any(word in ("-f", "--full") for word in step.words)
        if whole and not any(re.match(r"-t|--table", word) for word in step.words):
            yield Fault(step.place, "vacuumdb --full locks every table in turn and needs room for a second copy")
    for statement in context.statements:
        found = re.match(
            r"VACUUM\s*(?:\(([^)]*)\)|((?:FULL|FREEZE|VERBOSE|ANALYZE|\s)+))?\s*(\S*)", statement.bare, re.I
        )
        if not found or "FULL" not in f"{found[1] or ''} {found[2] or ''}".upper():
            continue
        section = context.section_text(statement.section_path) + " " + " ".join(statement.section_path)
        room = re.search(r"free space|disk space|df -h|pg_total_relation_size|room", section)
        if not found[3]:
            yield Fault(
                statement.place,
                "VACUUM FULL of the whole database locks every table in turn and needs room for a second copy",
                Fix("VACUUM, or pg_repack one table"),
            )
        elif not (room or _OFFLINE.search(section)):
            yield Fault(
                statement.place,
                f"VACUUM FULL locks {found[3]} against reads and writes while it is rewritten",
                Fix("VACUUM, or pg_repack"),
            )


@rule(
    "OB212",
    "reindex-locks",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="REINDEX that blocks writers",
    reason=(
        "Without CONCURRENTLY, REINDEX locks the table against writes and its index against reads until it is done."
    ),
    source="https://www.postgresql.org/docs/current/sql-reindex.html",
    bad=sql("REINDEX TABLE orders;"),
    good=sql("REINDEX TABLE CONCURRENTLY orders;"),
)
def reindex_locks(context: Context) -> Iterator[Fault]:
    """REINDEX without CONCURRENTLY where the system is not stopped."""
    for statement in context.statements:
        found = re.match(
            r"REINDEX\s+(?:\([^)]*\)\s*)?(TABLE|INDEX|SCHEMA|DATABASE|SYSTEM)\s+(?!CONCURRENTLY)(\S+)",
            statement.bare,
            re.I,
        )
        if not found or statement.dialect != "postgres":
            continue
        block = statement.step.block if statement.step else None
        stopped = block and any(
            s.call and s.call.verb == "scale" and s.call.value("--replicas") == "0" for s in block.top
        )
        section = context.section_text(statement.section_path)
        if stopped or re.search(
            r"maintenance mode|stop the app|application (?:is )?stopped|downtime|corrupt|single-user|offline", section
        ):
            continue
        yield Fault(
            statement.place,
            f"REINDEX {found[1].upper()} {found[2]} blocks writes until it is done",
            Fix(f"REINDEX {found[1].upper()} CONCURRENTLY {found[2]}"),
        )


@rule(
    "OB218",
    "index-dropped-with-lock",
    FaultClass.UNSAFE,
    Severity.HINT,
    summary="DROP INDEX on a live table without CONCURRENTLY",
    reason=("It waits for, and then blocks, every other access to the table while it holds an exclusive lock."),
    source="https://www.postgresql.org/docs/current/sql-dropindex.html",
    bad=sql("DROP INDEX idx_orders_old;"),
    good=sql("DROP INDEX CONCURRENTLY idx_orders_old;"),
)
def index_dropped(context: Context) -> Iterator[Fault]:
    """DROP INDEX in PostgreSQL."""
    for statement in context.statements:
        if (
            re.match(r"DROP INDEX (?!CONCURRENTLY)", statement.bare, re.I)
            and statement.dialect == "postgres"
            and not _OFFLINE.search(context.section_text(statement.section_path))
        ):
            yield Fault(statement.place, "locks the table against every access", Fix("DROP INDEX CONCURRENTLY"))


@rule(
    "OB219",
    "query-beside-the-point",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A query that does not answer what its comment asks",
    reason=(
        "pg_stats describes the values of columns; whether an index is used stands in "
        "pg_stat_user_indexes.idx_scan. The answer looks right and says nothing."
    ),
    source="https://www.postgresql.org/docs/current/view-pg-stats.html",
    bad=sql("-- Check for unused indexes\nSELECT schemaname, tablename, attname FROM pg_stats;"),
    good=sql("-- Check for unused indexes\nSELECT relname, indexrelname FROM pg_stat_user_indexes WHERE idx_scan = 0;"),
)
def beside_the_point(context: Context) -> Iterator[Fault]:
    """Unused indexes asked of pg_stats or pg_indexes; bloat asked of pg_stats."""
    for statement in context.statements:
        said = statement.comment
        if statement.step:
            said += f" {statement.step.comment} {statement.step.outermost.comment}"
        if (
            re.search(r"unused index|index usage", said, re.I)
            and re.search(r"\bFROM (?:pg_stats|pg_indexes)\b", statement.bare, re.I)
            and "idx_scan" not in statement.bare
        ):
            yield Fault(
                statement.find(r"pg_stats|pg_indexes"),
                "says nothing of the use of indexes",
                Fix("pg_stat_user_indexes, idx_scan = 0"),
            )
            continue
        for asked, answer, told in _BESIDE:
            if re.search(asked, said, re.I) and re.search(answer, statement.bare, re.I):
                yield Fault(statement.place, told)
                break


_BESIDE = (
    (r"integrity|corrupt", r"^SELECT 1$|^SELECT (?:pg_size_pretty\()?pg_database_size\(|^SELECT version\(\)",
     "answers as long as the server runs: damaged tables are not seen (pg_amcheck, checksums)"),
    (r"corrupt\w* index", r"\bidx_scan = 0\b", "lists unused indexes, not damaged ones (pg_amcheck, bt_index_check)"),
    (r"disk (?:usage|space|full)", r"^SELECT pg_size_pretty\(pg_database_size\(current_database\(\)\)\)$",
     "is the size of one database, not how full the disk is"),
    (r"(?:default|weak|empty) passwords?", r"\bFROM pg_roles\b(?!.*rolpassword)",
     "shows no passwords: pg_roles hides them (pg_shadow, as superuser)"),
)  # fmt: skip


@rule(
    "OB216",
    "index-locks",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary=("CREATE INDEX on a live table without CONCURRENTLY, or CONCURRENTLY inside a transaction"),
    reason=(
        "CREATE INDEX blocks all writes to the table until it is built. CONCURRENTLY does "
        "not, but it cannot run inside a transaction block."
    ),
    source="https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY",
    bad=("## Slow queries in production\n\n") + sql("CREATE INDEX idx_orders_user ON orders (user_id);"),
    good=("## Slow queries in production\n\n") + sql("CREATE INDEX CONCURRENTLY idx_orders_user ON orders (user_id);"),
)
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
        found = re.match(
            r"CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?.*?\bON (?:ONLY )?([\w.\"]+)",
            statement.bare,
            re.I,
        )
        if not found or statement.dialect != "postgres":
            alone = re.match(r"(VACUUM|CREATE DATABASE|DROP DATABASE|ALTER SYSTEM)\b", statement.bare, re.I)
            if alone and open_in.get(block) and statement.dialect == "postgres":
                yield Fault(
                    statement.place,
                    f"{alone[1].upper()} cannot run inside a transaction block",
                    severity=Severity.ERROR,
                    fault=FaultClass.WILL_NOT_RUN,
                )
            continue
        if found[1] and open_in.get(block):
            yield Fault(
                statement.place,
                "CREATE INDEX CONCURRENTLY cannot run inside a transaction block",
                severity=Severity.ERROR,
                fault=FaultClass.WILL_NOT_RUN,
            )
        elif (
            not found[1]
            and (block, found[2].lower()) not in created
            and not _OFFLINE.search(context.section_text(statement.section_path))
        ):
            yield Fault(
                statement.place,
                f"blocks writes to {found[2]} until the index is built",
                Fix("CREATE INDEX CONCURRENTLY"),
            )
