"""The PostgreSQL programs of this host that a restore needs: a server to restore into, and pg_restore."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from opsbook.connectors.change import ChangeFailed

DEBIAN, OTHERS = Path("/usr/lib/postgresql"), (Path("/usr/pgsql"), Path("/opt/homebrew/opt"), Path("/usr/local/opt"))
SERVER = ("postgres", "initdb")
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


class NoProgram(ChangeFailed):
    """This host has no program of PostgreSQL that can do it."""

    exit_code = 3


def server_folder(version: int) -> tuple[Path, int]:
    """Folder and major version of the server that fits data of a `server_version_num`: its own, else the next newer.

    Raises NoProgram.
    """
    wanted = version // 10_000
    found = sorted({(major_of(path / "postgres"), str(path)) for path in folders(SERVER)})
    fitting = [(major, path) for major, path in found if major >= wanted]
    if not fitting:
        here = ", ".join(str(major) for major, _ in found) or "none"
        raise NoProgram(
            f"the backup is of PostgreSQL {wanted}, and this host has no server of it or newer (there is: {here})",
            f"install the package postgresql-{wanted}",
        )
    return Path(fitting[0][1]), fitting[0][0]


def restore_program(dumped_by: int) -> Path:
    """pg_restore of the major version that dumped, else the next newer: an older one cannot read its format.

    Raises NoProgram.
    """
    found = sorted({(major_of(path / "pg_restore"), str(path / "pg_restore")) for path in folders(("pg_restore",))})
    fitting = [path for major, path in found if major >= dumped_by]
    if not fitting:
        here = ", ".join(str(major) for major, _ in found) or "none"
        raise NoProgram(
            f"the backup was dumped by pg_dump {dumped_by}, and this host has no pg_restore of it or newer"
            f" (there is: {here})",
            f"install the package postgresql-client-{dumped_by}",
        )
    return Path(fitting[0])


def major_of_tool(text: str) -> int:
    """The major version in a tool's name and version, as `pg_dump 15.10`; 0 where there is none."""
    found = re.search(r"(\d+)(?:\.\d+)?", text)
    return int(found[1]) if found else 0


def folders(programs: Iterable[str]) -> list[Path]:
    """Folders that have all of these programs."""
    places = [*DEBIAN.glob("*/bin")]
    for root in OTHERS:
        places += root.parent.glob(f"{root.name}-*/bin") if root.name == "pgsql" else root.glob("postgresql@*/bin")
    places += [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    # Debian's own pg_restore on PATH is a wrapper that follows the clusters of the host, not the version.
    return [
        path
        for path in dict.fromkeys(places)
        if all((path / name).exists() for name in programs) and not _wrapped(path / next(iter(programs)))
    ]


def _wrapped(program: Path) -> bool:
    return Path(os.path.realpath(program)).name == "pg_wrapper"


@cache
def major_of(program: Path) -> int:
    """Its major version; 0 where it does not say."""
    if shutil.which(str(program)) is None:
        return 0
    try:
        said = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = VERSION.search(said.stdout)
    return int(found[1]) if found else 0
