"""What the data folder of a stopped server tells: its control file, and commits in its log that nobody else has.

Read by PostgreSQL's own programs: pg_controldata, and pg_waldump, whose lines are
`rmgr: Transaction len (rec/tot): 34/ 34, tx: 740, lsn: 0/01532F10, prev 0/01532EB0, desc: COMMIT 2026-…`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsbook.connectors.backups.scratch_programs import NoProgram, folders, major_of
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.postgres_pair import position_of

RECORD = re.compile(r"^rmgr: (\w+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), .*?lsn: ([0-9A-F]+/[0-9A-F]+), .*?desc: (\w+)")
CONTROL_SECONDS = 20


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


def control(data: Path) -> Mapping[str, str]:
    """Fields of the control file, as pg_controldata names them. Blocking. Raises ChangeFailed, NoProgram."""
    done = subprocess.run(
        [str(program("pg_controldata", data)), "-D", str(data)], capture_output=True, text=True, check=False,
        timeout=CONTROL_SECONDS, env={**os.environ, "LC_ALL": "C"}, **as_owner(data),
    )  # fmt: skip
    if done.returncode:
        raise ChangeFailed(f"the control file of {data} cannot be read: {done.stderr.strip()[:200]}", "see the folder")
    pairs = (line.partition(":") for line in done.stdout.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def written_after(data: Path, position: int) -> Lost:
    """Log that the server of this folder wrote from a position on, on its own timeline. Blocking."""
    timeline = control(data).get("Latest checkpoint's TimeLineID", "1")
    start = f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
    argv = [str(program("pg_waldump", data)), "-p", str(data / "pg_wal"), "-t", timeline, "-s", start]
    commits, end = 0, position
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace", **as_owner(data)
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            found = RECORD.match(line)
            if found is None:
                continue
            end = position_of(found[3]) + int(found[2])
            commits += found[1] == "Transaction" and found[4].startswith("COMMIT")
    # That it ends with an error is how pg_waldump says that the log ends there.
    return Lost(max(0, end - position), commits, end)
