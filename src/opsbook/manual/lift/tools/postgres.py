"""PostgreSQL's clients: psql with its statements, and the programs that stand for one."""

from __future__ import annotations

import re

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.model import Step, Why
from opsbook.manual.lift.registry import lifts
from opsbook.manual.lift.sql import lift_statements

MISSING = {
    "pg_verifybackup": "postgres.verify_backup",
    "pgbackrest": "postgres.backup",
    "createdb": "postgres.database",
    "dropdb": "postgres.database",
    "createuser": "postgres.role",
}
"""Program → the operation that means it; `opsbook import` picks it up when it is registered and lifted here."""


_DUMP = re.compile(r"backup|dump|latest|snapshot|\d{6,}|YYYY|\.gz\b|restor", re.I)
"""Names of files that hold a dump, and not statements for some other purpose."""


def _of(use: Use) -> str:
    part = use.of_kind("postgres")
    return part.name if part else ""


@lifts("psql")
def psql(use: Use) -> Lifted:
    part = use.of_kind("postgres")
    if part is None:
        return Stay(Why.ELSEWHERE, "the book has no PostgreSQL")
    texts = [one for one in use.command.embedded if one.language == "sql"]
    fed = any(redirect.operator == "<" for redirect in use.command.redirects)
    if fed or (use.before and not texts):
        from opsbook.manual.lift.tools.backups import fed_file, restored

        file = fed_file(use)
        if _DUMP.search(file):
            return restored(use, part, file)
        return Stay(Why.PROGRAM, "it runs a file of statements that the manual does not show", "", part.name)
    if not texts:
        words = use.command.words
        if any(word in ("-l", "--list") for word in words):
            return lift_statements("\\l", use, part)
        if any(word in ("-f", "--file") or word.startswith("--file=") for word in words):
            return Stay(Why.PROGRAM, "it runs a file of statements that the manual does not show", "", part.name)
        return Stay(Why.INTERACTIVE, "it opens a prompt", "", part.name)
    steps: list[Step] = []
    for text in texts:
        made = lift_statements(text.text, use, part)
        if isinstance(made, Stay):
            return made
        steps += made
    return steps


@lifts("pg_isready")
def ready(use: Use) -> Lifted:
    part = use.of_kind("postgres")
    return use.check("postgres.up", part) if part else Stay(Why.ELSEWHERE, "the book has no PostgreSQL")


@lifts(*MISSING)
def missing(use: Use) -> Lifted:
    name = MISSING[use.command.program]
    return Stay(Why.MISSING, f"`{name}` would mean it", name, _of(use))


@lifts("vacuumdb", "reindexdb")
def whole(use: Use) -> Lifted:
    part = use.of_kind("postgres")
    if part is None:
        return Stay(Why.ELSEWHERE, "the book has no PostgreSQL")
    words = use.command.words
    tables = [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-t", "--table")]
    tables += [word.partition("=")[2] for word in words if word.startswith("--table=")]
    if use.command.program == "reindexdb" or "-f" in words or "--full" in words:
        verb = "REINDEX TABLE" if use.command.program == "reindexdb" else "VACUUM FULL"
        return lift_statements("; ".join(f"{verb} {table}" for table in tables) or f"{verb.split()[0]} FULL", use, part)
    if "-Z" in words or "--analyze-only" in words:
        return use.op("postgres.analyze", part, tables=tables or None)
    return use.op("postgres.vacuum", part, tables=tables or None)


@lifts("pgbouncer")
def pool(use: Use) -> Lifted:
    part = use.of_kind("pgbouncer")
    restarts = re.search(r"\s-R\b", " ".join(use.command.words))
    return use.op("workload.restart", part) if part and restarts else None
