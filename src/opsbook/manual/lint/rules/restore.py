"""Restores: what must stand before and after them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.names import is_variant
from opsbook.manual.lint.facts.restores import Restore, restores, stopped
from opsbook.manual.lint.facts.steps import ShellBlock, Step
from opsbook.manual.lint.facts.writing import DUMPS
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_GOOD = "\n".join(
    (
        "kubectl scale deployment/api --replicas=0 -n shop",
        "pg_dump -U app -Fc -f before.dump shop",
        "pg_restore -U app -d shop --clean --if-exists --exit-on-error shop.dump",
        "psql -U app -d shop -c 'SELECT max(created_at) FROM orders;'",
        "kubectl scale deployment/api --replicas=3 -n shop",
    )
)


_SAID_VERIFY = re.compile(r"verif|check|valid|smoke|health|count\(|integrity|\btest", re.I)


_SAID_STOP = re.compile(
    (
        r"stop (?:the |all )?(?:app|api|backend|services?|writ|traffic|workers?)|maintenance mode|"
        r"scale (?:down|to 0)|停止|停|detener|서비스 중지|arr[êe]ter"
    ),
    re.I,
)


_SAID_SAVE = re.compile(
    (
        r"(?:safety|current|pre-restore|existing).{0,30}(?:backup|dump|copy|snapshot|state)|back "
        r"?up (?:the )?(?:current|existing)|snapshot (?:the )?current"
    ),
    re.I,
)


def _surroundings(context: Context, block: ShellBlock) -> str:
    return context.section_text(block.section_path)


def _live(context: Context) -> Iterator[Restore]:
    for restore in restores(context.steps):
        if restore.live and restore.block.fence is not None:
            yield restore


def _sections_blocks(context: Context, block: ShellBlock) -> list[ShellBlock]:
    """The blocks of the same procedure or section: steps of one procedure are often split, by headings too."""
    around = [p for p in context.read.procedures if p.line <= block.line <= p.end_line]
    if not around:
        return [other for other in context.scripts if other.section_path == block.section_path]
    whole = min(around, key=lambda procedure: procedure.end_line - procedure.line)
    return [
        other
        for other in context.scripts
        if whole.line <= other.line <= whole.end_line or other.section_path == block.section_path
    ]


def _ahead(context: Context, restore: Restore) -> list[Step]:
    blocks = [b for b in _sections_blocks(context, restore.block) if b.number < restore.block.number]
    return [step for b in blocks for step in b.steps] + list(restore.before)


def _behind(context: Context, restore: Restore) -> list[Step]:
    blocks = [b for b in _sections_blocks(context, restore.block) if b.number > restore.block.number]
    return list(restore.after) + [step for b in blocks for step in b.steps]


@rule(
    "OB530",
    "restore-into-live",
    FaultClass.UNSAFE,
    Severity.ERROR,
    summary="A plain dump is fed into the live database",
    reason=(
        "Without a drop every CREATE fails with “already exists” and every row is doubled or "
        "refused; psql goes on after errors and ends with 0. What comes out is neither the "
        "old nor the saved state."
    ),
    source="https://www.postgresql.org/docs/current/backup-dump.html#BACKUP-DUMP-RESTORE",
    bad=sh("gunzip -c shop.sql.gz | psql -U app -d shop"),
    good=sh("createdb -U app shop_restored\ngunzip -c shop.sql.gz | psql -U app -v ON_ERROR_STOP=1 -d shop_restored"),
)
def restore_into_live(context: Context) -> Iterator[Fault]:
    """psql fed with a dump, with neither ON_ERROR_STOP nor a drop nor a new database before."""
    for restore in _live(context):
        step = restore.step
        if not restore.plain or step.program != "psql":
            continue
        ahead = " ".join(s.command.text for s in _ahead(context, restore))
        if re.search(r"DROP (?:DATABASE|SCHEMA)|dropdb|createdb|CREATE DATABASE", ahead, re.I):
            continue
        if "ON_ERROR_STOP" in step.command.text and _made_with_clean(context):
            continue
        lacks = [
            what
            for what, there in (
                ("no drop or new database", False),
                ("no ON_ERROR_STOP", "ON_ERROR_STOP" in step.command.text),
                (
                    "the application is not stopped",
                    bool(stopped(_ahead(context, restore)))
                    or bool(_SAID_STOP.search(_surroundings(context, restore.block))),
                ),
                ("no safety backup", _saved(context, restore)),
                ("no check afterwards", _verified(context, restore)),
            )
            if not there
        ]
        yield Fault(
            step.outermost.place if step.outermost.command.line == step.command.line else step.place,
            f"feeds a plain dump into the live database: {', '.join(lacks)}",
            Fix("restore into a new database with ON_ERROR_STOP=1, check it, then rename"),
        )


def _made_with_clean(context: Context) -> bool:
    return any(s.program == "pg_dump" and s.call and s.call.has("-c", "--clean") for s in context.steps)


def _saved(context: Context, restore: Restore) -> bool:
    if any(
        s.program in DUMPS or re.search(r"backup[\w.-]*\.sh|snapshot|pgbackrest|velero", s.command.text)
        for s in _ahead(context, restore)
    ):
        return True
    return bool(_SAID_SAVE.search(_surroundings(context, restore.block))) or any(
        s.program in ("mv", "cp") and re.search(r"pgdata|/var/lib", s.command.text) for s in _ahead(context, restore)
    )


def _verified(context: Context, restore: Restore) -> bool:
    later = _behind(context, restore)
    if any(
        s.program in ("psql", "curl", "pytest", "mysql", "wget")
        or (s.program.endswith(".sh") and _SAID_VERIFY.search(s.command.text))
        for s in later
    ):
        return True
    return any(_SAID_VERIFY.search(s.comment) for s in later) or bool(
        _SAID_VERIFY.search(_surroundings(context, restore.block).split(restore.step.command.text.lower()[:30])[-1])
    )


@rule(
    "OB531",
    "restore-without-clean",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="pg_restore without --clean into the live database",
    reason=(
        "Every object is there already: “already exists”, duplicate keys. The old rows stay, "
        "and the database is not brought to the state of the dump."
    ),
    source="https://www.postgresql.org/docs/current/app-pgrestore.html",
    bad=sh("pg_restore -U app -d shop shop.dump"),
    good=sh(
        "pg_dump -U app -Fc -f before.dump shop\n"
        "pg_restore -U app -d shop --clean --if-exists shop.dump\n"
        "psql -U app -d shop -c 'SELECT 1'"
    ),
)
def restore_without_clean(context: Context) -> Iterator[Fault]:
    """No -c, -C or a drop and create ahead of it; not where the dump holds data only."""
    for step in context.calls("pg_restore"):
        call = step.call
        ahead = " ".join(s.command.text for s in step.block.before(step))
        partial = call is not None and call.has("-a", "--data-only") and call.has("-d", "--dbname")
        if partial and not re.search(r"TRUNCATE|DELETE FROM|dropdb|DROP |createdb|CREATE DATABASE", ahead, re.I):
            said = " ".join(step.block.section_path[-2:])
            if (
                call is not None
                and not call.has("-c", "--clean")
                and not re.search(r"fresh|empty|new |test", said, re.I)
            ):
                yield Fault(
                    step.place,
                    "the rows that are still there collide: duplicate keys, and the COPY is refused as a whole",
                    Fix("restore the table beside the old one and copy what is missing"),
                )
    for restore in _live(context):
        call = restore.step.call
        if (
            restore.step.program != "pg_restore"
            or call is None
            or call.has("-c", "--clean", "-C", "--create", "-a", "--data-only", "-t", "--table")
        ):
            continue
        ahead = " ".join(s.command.text for s in _ahead(context, restore)) + " ".join(
            s.bare for s in context.statements if s.section_path == restore.block.section_path
        )
        if re.search(r"dropdb|DROP (?:DATABASE|SCHEMA|TABLE)|createdb|CREATE DATABASE|TRUNCATE", ahead, re.I):
            continue
        if call.words and re.search(r"\.sql(?:\.gz)?$", call.words[-1]):
            continue
        yield Fault(
            restore.step.place,
            "pg_restore without --clean: “already exists” and duplicate keys, the old rows stay",
            Fix("--clean --if-exists, or a new database"),
        )


def _dropped(restore: Restore) -> Step | None:
    """The step of the block that drops the database ahead of the restore: there the data goes."""
    return next(
        (s for s in restore.before if s.program == "dropdb" or re.search(r"DROP (?:DATABASE|SCHEMA)", s.command.text)),
        None,
    )


@rule(
    "OB532",
    "restore-without-safety-backup",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary=("A restore that overwrites the data with no copy of it taken before, or unchecked afterwards"),
    reason=(
        "When the dump turns out to be broken or the wrong one, the state before it is gone "
        "too. And a restore that nobody looked at is only hoped to have worked."
    ),
    source="https://www.postgresql.org/docs/current/backup-dump.html",
    bad=sh(
        "kubectl scale deployment/api --replicas=0 -n shop\n"
        "pg_restore -U app -d shop --clean shop.dump\n"
        "kubectl scale deployment/api --replicas=3 -n shop"
    ),
    good=sh(_GOOD),
)
def restore_without_safety(context: Context) -> Iterator[Fault]:
    """Archive restores into the live database, and plain ones behind a drop; other plain ones are told by OB530."""
    for restore in _live(context):
        drop = _dropped(restore)
        if restore.plain and restore.step.program == "psql" and drop is None:
            continue
        saved, verified = _saved(context, restore), _verified(context, restore)
        if not saved:
            more = " and no check after it" if not verified else ""
            if drop is not None and not verified and restore.step.command.line - drop.command.line > 2:
                yield Fault(
                    restore.step.place,
                    "nothing checks the restored data before traffic returns",
                    Fix("count rows and look at the newest one"),
                    subject=f"unverified-{restore.block.section_path}",
                )
            yield Fault(
                (drop or restore.step).place,
                f"overwrites the data: no safety backup before it{more}",
                Fix("pg_dump -Fc into a file first"),
                subject=f"unsaved-{restore.block.section_path}",
            )
        elif not verified:
            yield Fault(
                restore.step.place,
                "nothing checks the restored data before traffic returns",
                Fix("count rows and look at the newest one"),
            )


@rule(
    "OB533",
    "safety-backup-too-early",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="The safety backup is taken while the application still writes",
    reason="What is written between the backup and the stop is in neither copy.",
    source="https://www.postgresql.org/docs/current/app-pgdump.html",
    bad=sh(
        "pg_dump -U app -Fc -f before.dump shop\n"
        "kubectl scale deployment/api --replicas=0 -n shop\n"
        "pg_restore -U app -d shop -c shop.dump"
    ),
    good=sh(_GOOD),
)
def safety_backup_too_early(context: Context) -> Iterator[Fault]:
    """dump, then stop, then restore, in one block."""
    for restore in restores(context.steps):
        before = list(restore.before)
        dump = next((s for s in before if s.program in DUMPS), None)
        halt = next((s for s in before if stopped([s])), None)
        if dump is not None and halt is not None and dump.index < halt.index and not stopped(before[: dump.index]):
            yield Fault(
                dump.place,
                (
                    f"is taken before the application is stopped (line {halt.command.line}): writes in "
                    f"between are in neither copy"
                ),
                Fix("stop first"),
            )


@rule(
    "OB534",
    "writers-left-running",
    FaultClass.UNSAFE,
    Severity.ERROR,
    summary="Only some of the workloads that write are stopped",
    reason=(
        "The workers that the manual names elsewhere go on writing, into tables that are "
        "just being dropped and filled, or wait on locks until they fail."
    ),
    source="https://www.postgresql.org/docs/current/explicit-locking.html",
    bad=sh(
        "kubectl get deployment/celery-worker -n shop\n"
        "kubectl scale deployment/backend --replicas=0 -n shop\n"
        "pg_restore -U app -d shop -c shop.dump"
    ),
    good=sh(
        "kubectl scale deployment/backend deployment/celery-worker --replicas=0 -n shop\n"
        "pg_restore -U app -d shop -c shop.dump"
    ),
)
def writers_left_running(context: Context) -> Iterator[Fault]:
    """Blocks that stop something and then restore or run VACUUM FULL, leaving out a workload that writes."""
    known = context.names.writers()
    for block in context.scripts:
        halted = stopped(block.steps)
        if not halted or "*" in halted or not known:
            continue
        heavy = _heavy(context, block)
        if heavy is None:
            continue
        first = next(s for s in block.steps if stopped([s]))
        left = sorted(name for name in known - halted if not is_variant(name, halted))
        if left and first.index < heavy.index:
            yield Fault(
                first.place,
                f"stops {', '.join(sorted(halted))}, but {', '.join(left)} keep{'s' if len(left) == 1 else ''} writing",
                Fix(f"stop {', '.join(left)} too"),
            )


def _heavy(context: Context, block: ShellBlock) -> Step | None:
    """The restore, or the statement that needs the database for itself."""
    for restore in restores(block.steps):
        return restore.step
    for statement in context.statements:
        if (
            statement.step
            and statement.step.block is block
            and re.match(r"VACUUM\s*\(?\s*FULL|CLUSTER\b|DROP |TRUNCATE", statement.bare, re.I)
        ):
            return statement.step
    return None


@rule(
    "OB539",
    "restore-ignores-errors",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A dump fed to psql that goes on after errors",
    reason=(
        "Without ON_ERROR_STOP psql goes on after every failed statement and ends with 0: "
        "half a restore looks like a whole one."
    ),
    source="https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-VARIABLES-ON-ERROR-STOP",
    bad=sh("dropdb -U app shop_old\ncreatedb -U app shop\npsql -U app -d shop < backup.sql"),
    good=sh("createdb -U app shop\npsql -U app -d shop -v ON_ERROR_STOP=1 < backup.sql"),
)
def restore_ignores_errors(context: Context) -> Iterator[Fault]:
    """psql restores into new or emptied databases; the others are told by OB530."""
    told = {fault.at.line for fault in restore_into_live(context)}
    for restore in restores(context.steps):
        step = restore.step
        stops = re.search(r"ON_ERROR_STOP|--single-transaction|\s-1\b", step.command.text)
        if not restore.plain or step.program != "psql" or stops or "ON_ERROR_STOP" in restore.block.text:
            continue
        if not {step.command.line, step.outermost.command.line} & told:
            yield Fault(
                step.place,
                "psql goes on after errors and ends with 0: a broken restore is not noticed",
                Fix("-v ON_ERROR_STOP=1"),
                subject=f"errors-{restore.block.number}",
            )
