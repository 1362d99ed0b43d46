"""Queues, volumes and database files: commands that take the data themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_ASIDE = re.compile(
    (
        r"\b(?:test|dev|local|staging|sandbox|scratch|rehears|drill|clean (?:start|slate)|"
        r"uninstall|tear ?down|decommission)"
    ),
    re.I,
)
_SAVED = re.compile(r"backup|pg_dump|mysqldump|mongodump|snapshot|pg_basebackup|\btar\b|\bcp -[ra]|rsync|velero", re.I)


def _aside(step: Step) -> bool:
    """Whether the section or comment says that it is not about production."""
    return bool(_ASIDE.search(f"{' '.join(step.block.section_path)} {step.comment}"))


def _saved(step: Step) -> bool:
    return bool(_SAVED.search(" ".join(s.command.text for s in step.block.before(step))))


_QUEUES = (
    (re.compile(r"^celery\b.*\bpurge\b"), "discards every task that waits in the queues"),
    (re.compile(r"^rabbitmqctl\b.*\bpurge_queue\b"), "discards every message of the queue"),
    (re.compile(r"^rabbitmqctl\b.*\bdelete_queue\b"), "deletes the queue with its messages"),
    (re.compile(r"^rabbitmqctl\b.*\b(?:force_)?reset\b"), "wipes the node: queues, messages, users and policies"),
    (re.compile(r"^kafka-topics(?:\.sh)?\b.*--delete\b"), "deletes the topic with its messages"),
    (re.compile(r"^aws sqs purge-queue\b"), "discards every message of the queue"),
    (re.compile(r"^nats stream (?:purge|rm|delete)\b"), "discards the messages of the stream"),
)


@rule(
    "OB650",
    "queue-emptied",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="A queue is emptied to get rid of what blocks it",
    reason=(
        "Purging throws away every task or message that waits, the orders and mails among them, "
        "not only the one that "
        "hangs. They cannot be brought back."
    ),
    source="https://docs.celeryq.dev/en/stable/userguide/monitoring.html#commands",
    bad=sh("celery -A app purge -f"),
    good=sh("celery -A app inspect active\ncelery -A app control revoke 0f2c1a --terminate"),
)
def queue_emptied(context: Context) -> Iterator[Fault]:
    """The table of commands above."""
    for step in context.steps:
        for pattern, what in _QUEUES:
            if pattern.search(step.command.text) and not _aside(step):
                yield Fault(step.place, what, Fix("remove the single task or message that blocks"))


@rule(
    "OB651",
    "volume-removed",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="The volume of a database is removed with no copy taken before",
    reason="The volume is the data. What the container initialises in its place is an empty database.",
    source="https://docs.docker.com/reference/cli/docker/volume/rm/",
    bad=sh("docker compose down\ndocker volume rm shop_pgdata"),
    good=sh(
        "docker compose exec -T db pg_dump -U app -Fc shop > before.dump\ndocker compose "
        "down\ndocker volume rm shop_pgdata"
    ),
)
def volume_removed(context: Context) -> Iterator[Fault]:
    """docker volume rm of names that speak of data, with nothing saved ahead of it in the block."""
    for step in context.calls("docker", "volume rm"):
        call = step.call
        assert call is not None
        named = [word for word in call.words if re.search(r"pg|postgres|mysql|maria|mongo|redis|data|db", word, re.I)]
        if named and not _saved(step) and not _aside(step):
            yield Fault(step.place, f"removes {named[0]} and takes no copy before", Fix("dump the database first"))


@rule(
    "OB652",
    "database-files-removed",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="Write-ahead log or data files deleted by hand",
    reason=(
        "The files in pg_wal are what a crash recovery needs; without them the cluster does not start or comes up "
        "corrupt. pg_resetwal -f throws away committed transactions. A full disk is freed elsewhere: logs, slots."
    ),
    source="https://www.postgresql.org/docs/current/app-pgresetwal.html",
    bad=sh("rm -rf /var/lib/postgresql/16/main/pg_wal/*"),
    good=sh('psql -d postgres -c "SELECT slot_name, active FROM pg_replication_slots"'),
)
def database_files_removed(context: Context) -> Iterator[Fault]:
    """rm below pg_wal, pg_xlog or base; pg_resetwal -f."""
    for step in context.steps:
        if step.program == "rm" and re.search(r"/(?:pg_wal|pg_xlog|pg_clog|pg_xact|global)(?:/|\b)", step.command.text):
            yield Fault(
                step.place, "the server needs these files to start again after a crash", Fix("free space elsewhere")
            )
        elif step.program in ("pg_resetwal", "pg_resetxlog") and re.search(r"\s-f|--force", step.command.text):
            yield Fault(step.place, "throws away transactions that were committed", Fix("restore a backup instead"))


@rule(
    "OB653",
    "schema-taken-back",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="A migration is taken back to the start, or a document database dropped",
    reason=(
        "downgrade drops the tables and columns that the migrations made, with what users wrote "
        "into them since. Going "
        "back all the way empties the database."
    ),
    source="https://alembic.sqlalchemy.org/en/latest/tutorial.html#downgrading",
    bad="## Rollback\n\n" + sh("alembic downgrade base"),
    good="## Rollback\n\n" + sh("pg_dump -U app -Fc -f before.dump shop\nalembic downgrade -1"),
)
def schema_taken_back(context: Context) -> Iterator[Fault]:
    """alembic downgrade base, manage.py migrate APP zero, migrate reset, dropDatabase()."""
    for step in context.steps:
        text = step.command.text
        back = re.search(
            (
                r"\balembic\b.*\bdowngrade\s+base\b|manage\.py migrate \w+ zero|prisma migrate reset|"
                r"artisan migrate:(?:fresh|reset)|rails db:(?:drop|reset)"
            ),
            text,
        )
        dropped = step.program in ("mongo", "mongosh") and re.search(r"dropDatabase\(\)|\.drop\(\)", text)
        if (back or dropped) and not _aside(step) and not _saved(step):
            yield Fault(
                step.place,
                "drops the tables with their data, and no copy is taken before",
                Fix("dump the database first"),
            )
