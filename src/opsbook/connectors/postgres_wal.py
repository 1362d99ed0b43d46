"""What the data folder of a stopped server tells: its control file, and commits in its log that nobody else has.

Read by PostgreSQL's own programs: pg_controldata, and pg_waldump, whose lines are
`rmgr: Transaction len (rec/tot): 34/ 34, tx: 740, lsn: 0/01532F10, prev 0/01532EB0, desc: COMMIT 2026-…`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsbook.connectors.backups.scratch_programs import NoProgram, folders, major_of
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.postgres_pair import position_of

RECORD = re.compile(r"^rmgr: (\w+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), .*?lsn: ([0-9A-F]+/[0-9A-F]+), .*?desc: (\w+)")


@dataclass(frozen=True)
class Lost:
    """What a server wrote that the other never had."""

    bytes: int
    commits: int
    end: int
    """Where its log ends."""


def program(name: str, data: Path) -> Path:
    """A program of the version that the data folder has. Raises NoProgram."""
    try:
        major = int((data / "PG_VERSION").read_text().split(".")[0])
    except (OSError, ValueError):
        raise ChangeFailed(f"{data} is no data folder of PostgreSQL", "see `data` of `failover.servers`") from None
    return program_of(name, major)


def program_of(name: str, major: int) -> Path:
    """A program of a version. Raises NoProgram."""
    for folder in folders((name,)):
        if major_of(folder / name) == major:
            return folder / name
    raise NoProgram(f"this host has no {name} of PostgreSQL {major}", f"install the package postgresql-{major}")


def as_owner(data: Path) -> dict[str, Any]:
    """Keywords of subprocess: PostgreSQL's programs refuse root, and work as the owner of the data folder."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    found = data.stat()
    return {"user": found.st_uid, "group": found.st_gid, "extra_groups": [], "cwd": "/"}


@dataclass
class Counted:
    """Commits and the end of a log, from the lines of pg_waldump."""

    begin: int
    commits: int = 0
    end: int = 0

    def take(self, line: str) -> None:
        """One line."""
        if found := RECORD.match(line):
            self.end = position_of(found[3]) + int(found[2])
            self.commits += found[1] == "Transaction" and found[4].startswith("COMMIT")

    @property
    def lost(self) -> Lost:
        """What was counted."""
        end = max(self.begin, self.end)
        return Lost(end - self.begin, self.commits, end)
