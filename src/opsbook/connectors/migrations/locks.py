"""Which locks a statement of a migration takes, by PostgreSQL's manual ("Explicit Locking", "ALTER TABLE"). Pure."""

from __future__ import annotations

import re

LOCKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"^\s*{pattern}", re.IGNORECASE | re.DOTALL), said)
    for pattern, said in (
        (r"CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY\b", "lets reads and writes go on"),
        (r"CREATE\s+(UNIQUE\s+)?INDEX\b", "keeps writers of the table waiting while the index is built (SHARE)"),
        (r"DROP\s+INDEX\s+CONCURRENTLY\b", "lets reads and writes go on"),
        (r"REINDEX\b(?!.*\bCONCURRENTLY\b)", "keeps writers of the table waiting while it lasts (SHARE)"),
        (r"ALTER\s+TABLE\b.*\bVALIDATE\s+CONSTRAINT\b", "reads the whole table; writes go on"),
        (r"ALTER\s+TABLE\b.*\bSET\s+DATA\s+TYPE\b|ALTER\s+TABLE\b.*\bALTER\b(?:\s+COLUMN)?\s+\S+\s+TYPE\b",
         "may write the whole table anew; nobody reads or writes it meanwhile (ACCESS EXCLUSIVE)"),
        (r"ALTER\s+TABLE\b.*\bSET\s+NOT\s+NULL\b", "reads the whole table; nobody else does (ACCESS EXCLUSIVE)"),
        (r"ALTER\s+TABLE\b.*\bADD\s+(CONSTRAINT\b.*\b)?FOREIGN\s+KEY\b(?!.*\bNOT\s+VALID\b)",
         "reads the whole table; writers of both tables wait (SHARE ROW EXCLUSIVE)"),
        (r"ALTER\s+TABLE\b.*\bADD\s+CONSTRAINT\b.*\bCHECK\b(?!.*\bNOT\s+VALID\b)",
         "reads the whole table; nobody else does (ACCESS EXCLUSIVE)"),
        (r"ALTER\s+TABLE\b", "nobody reads or writes the table for a moment (ACCESS EXCLUSIVE)"),
        (r"DROP\s+TABLE\b|TRUNCATE\b", "waits for everybody who uses the table, and deletes it (ACCESS EXCLUSIVE)"),
        (r"DROP\s+INDEX\b", "nobody reads or writes the table for a moment (ACCESS EXCLUSIVE)"),
        (r"(UPDATE|DELETE)\b(?!.*\bWHERE\b)", "writes every row of the table in one transaction"),
        (r"(LOCK\s+TABLE|CLUSTER|VACUUM\s*\(?\s*FULL)\b", "nobody else uses the table meanwhile (ACCESS EXCLUSIVE)"),
    )
)  # fmt: skip
"""The first that fits counts."""


def lock_of(statement: str) -> str:
    """What a statement keeps others from; empty where it keeps nobody waiting."""
    return next((said for pattern, said in LOCKS if pattern.match(statement)), "")


def statements_of(script: str) -> list[str]:
    """The statements of a script that a tool printed, without comments and its own bookkeeping."""
    plain = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    found = [" ".join(one.split()) for one in re.split(r";\s*(?:\n|$)", plain)]
    return [one for one in found if one and not _BOOKKEEPING.match(one)]


_BOOKKEEPING = re.compile(
    r"(BEGIN|COMMIT|START TRANSACTION)$|(INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|DROP TABLE) \S*alembic_version\b",
    re.IGNORECASE,
)
