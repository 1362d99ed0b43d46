"""A PostgreSQL server of our own that stands where the live one stood at a point: restored by pgBackRest, its log
replayed to there, promoted. It archives nothing, listens on its own socket alone, and is removed whatever happens.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from opsbook.connectors.backups.pgbackrest import Call, Cluster
from opsbook.connectors.backups.pgbackrest_info import Held, Point
from opsbook.connectors.backups.postgres_restore import Interrupted
from opsbook.connectors.backups.scratch import PORT, SETTINGS, Scratch, scratch_folder
from opsbook.connectors.backups.scratch_programs import NoProgram, server_folder
from opsbook.connectors.change import ChangeFailed

LOOK_SECONDS = 0.1
NOT_REACHED = "recovery ended before configured recovery target was reached"
STOPPING = re.compile(r"recovery stopping (?:before|after) [^\n]*")
LAST = re.compile(r"last completed transaction was at log time ([^\n]+)")
HBA = "local all all trust\n"


class NotThere(ChangeFailed):
    """What was archived ends before the point, or does not hold it."""


@dataclass(frozen=True)
class Recovered:
    """A server that stands at a point."""

    scratch: Scratch
    label: str
    """The backup that it began with."""
    stopped: str
    """Where the replay stopped, in the server's words; empty where it came to the end."""
    last_commit: str
    """When the last transaction that is in it was committed."""
    copied_seconds: float
    replayed_seconds: float


@contextmanager
def recovered_server(
    call: Call, cluster: Cluster, point: Point, backups: Sequence[Held], seconds: float, jobs: int = 1
) -> Iterator[Recovered]:
    """The server, while the block lasts, from the first of the backups that leads there.

    Raises NoProgram, NoRoom, NotThere, and PgBackRestFailed.
    """
    programs, major = server_folder(cluster.version)
    if major != cluster.version // 10_000:
        raise NoProgram(
            f"files of PostgreSQL {cluster.version // 10_000} are read by that version alone, and it is not here",
            f"install the package postgresql-{cluster.version // 10_000}",
        )
    for n, backup in enumerate(backups):
        # Twice: the segments of the log that are replayed need room as well.
        with scratch_folder(2 * backup.size) as folder:
            try:
                found = _recovered(call, cluster, point, backup, folder, programs, seconds, jobs)
            except NotThere:
                if n + 1 == len(backups):
                    raise
                call.tell(f"{point} is not after {backup.label}; tries the one before\n")
                continue
            yield found
            return
    raise NotThere(f"no backup leads to {point}", "`opsbook backups list` shows what there is")


def _recovered(
    call: Call, cluster: Cluster, point: Point, backup: Held, folder: Path, programs: Path, seconds: float, jobs: int
) -> Recovered:
    started, data = time.monotonic(), folder / "data"
    identity = call.stanza.identity()
    if identity:
        shutil.chown(folder, identity["user"], identity["group"])
    call.run(
        "restore", f"--set={backup.label}", f"--pg1-path={data}", f"--tablespace-map-all={folder / 'tablespaces'}",
        "--archive-mode=off", f"--process-max={jobs}", *_target(point),
    )  # fmt: skip
    copied = time.monotonic() - started
    call.tell(f"{backup.label} copied in {copied:.1f} s; replays the log\n")
    scratch = Scratch(folder, folder, programs, cluster.version // 10_000, cluster.superuser)
    server = _begun(scratch, cluster, identity)
    _replayed(scratch, server, call.stop, seconds, point)
    words = (folder / "log").read_text(errors="replace")
    stopping, last = STOPPING.search(words), LAST.findall(words)
    replayed = time.monotonic() - started - copied
    return Recovered(
        scratch, backup.label, stopping[0] if stopping else "", last[-1].strip() if last else "", round(copied, 3),
        round(replayed, 3),
    )  # fmt: skip


def _target(point: Point) -> list[str]:
    if point.kind == "latest":
        return ["--type=default"]
    return [f"--type={point.kind}", f"--target={point.target}", "--target-action=promote"]


def _begun(scratch: Scratch, cluster: Cluster, identity: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start it with settings of its own: what the live server's files say of addresses, archives and standbys must
    not hold here, and its command line is stronger than they are."""
    folder = scratch.folder
    for name, text in (("postgresql.conf", ""), ("pg_hba.conf", HBA), ("pg_ident.conf", "")):
        (folder / name).write_text(text)
        if identity:
            shutil.chown(folder / name, identity["user"], identity["group"])
    settings = {
        **{name: value.strip("'") for name, value in SETTINGS.items()},
        "port": str(PORT), "unix_socket_directories": str(folder), "config_file": str(folder / "postgresql.conf"),
        "hba_file": str(folder / "pg_hba.conf"), "ident_file": str(folder / "pg_ident.conf"),
        "archive_mode": "off", "archive_command": "", "wal_level": "replica", "hot_standby": "off", "ssl": "off",
        "shared_preload_libraries": "", "synchronous_standby_names": "", "default_transaction_read_only": "off",
        "max_prepared_transactions": str(cluster.prepared), "max_connections": "60", "shared_buffers": _shared(),
        "log_timezone": "UTC", "log_destination": "stderr", "primary_conninfo": "",
    }  # fmt: skip
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            [str(scratch.programs / "postgres"), "-D", str(folder / "data"), *options], stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True, cwd=folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}, **identity,
        )  # fmt: skip


def _shared() -> str:
    return f"{max(64, min(1024, (psutil.virtual_memory().total // 16) >> 20))}MB"


def _replayed(
    scratch: Scratch, server: subprocess.Popen[bytes], stop: threading.Event, seconds: float, point: Point
) -> None:
    """Wait until it was promoted. Raises NotThere where the log ends before, ChangeFailed where it does not start."""
    import psycopg

    deadline = time.monotonic() + seconds
    while True:
        if stop.is_set():
            raise Interrupted("the restore was stopped")
        with suppress(psycopg.Error), psycopg.connect(**scratch.parameters(), connect_timeout=5) as connection:  # type: ignore[arg-type]
            if not (connection.execute("SELECT pg_is_in_recovery()").fetchone() or (True,))[0]:
                return
        if server.poll() is not None:
            words = (scratch.folder / "log").read_text(errors="replace")
            if NOT_REACHED in words:
                last = LAST.findall(words)
                until = f": what was archived ends at {last[-1].strip()}" if last else ""
                raise NotThere(f"{point} is not in the log{until}", "name a point before that, or --at latest")
            raise ChangeFailed(f"the scratch server does not start: {_reason(words)}", "is memory or disk full?")
        if time.monotonic() > deadline:
            raise ChangeFailed(f"the log was not replayed within {seconds:,.0f} s", "raise `timeout` of the backup")
        time.sleep(LOOK_SECONDS)


def _reason(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
    return (fatal or lines or ["it says nothing"])[0]
