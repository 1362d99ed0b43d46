"""A recovered server on this host: on a socket in a folder of its own, by the programs of the same version."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from opsbook.connectors.backups.pgbackrest_here import identity
from opsbook.connectors.backups.pgbackrest_info import Held
from opsbook.connectors.backups.postgres_restore import Interrupted
from opsbook.connectors.backups.recovered import Recover, Recovered, Recovery
from opsbook.connectors.backups.scratch import PORT, Scratch, scratch_folder
from opsbook.connectors.backups.scratch_programs import NoProgram, server_folder

LOOK_SECONDS = 0.1
HBA = "local all all trust\n"


@contextmanager
def here(wanted: Recovery) -> Iterator[Recover]:
    """What recovers on this host. Raises NoProgram."""
    version = wanted.cluster.version // 10_000
    programs, major = server_folder(wanted.cluster.version)
    if major != version:
        raise NoProgram(
            f"files of PostgreSQL {version} are read by that version alone, and it is not here",
            f"install the package postgresql-{version}",
        )

    @contextmanager
    def recover(backup: Held) -> Iterator[Recovered]:
        # Twice: the segments of the log that are replayed need room as well.
        with scratch_folder(2 * backup.size) as folder:
            yield _recovered(wanted, backup, folder, programs)

    yield recover


def _recovered(wanted: Recovery, backup: Held, folder: Path, programs: Path) -> Recovered:
    started, call = time.monotonic(), wanted.call
    who = identity(call.stanza.config)
    if who:
        shutil.chown(folder, who["user"], who["group"])
    call.run("restore", *wanted.restoring(backup, str(folder / "data"), str(folder / "tablespaces")))
    copied = time.monotonic() - started
    call.tell(f"{backup.label} copied in {copied:.1f} s; replays the log\n")
    scratch = Scratch(folder, folder, programs, wanted.cluster.version // 10_000, wanted.cluster.superuser)
    server = _begun(wanted, scratch, who)
    _replayed(wanted, scratch, server)
    words = (folder / "log").read_text(errors="replace")
    return wanted.recovered(scratch, backup, words, copied, time.monotonic() - started - copied)


def _begun(wanted: Recovery, scratch: Scratch, who: dict[str, Any]) -> subprocess.Popen[bytes]:
    folder = scratch.folder
    for name, text in (("postgresql.conf", ""), ("pg_hba.conf", HBA), ("pg_ident.conf", "")):
        (folder / name).write_text(text)
        if who:
            shutil.chown(folder / name, who["user"], who["group"])
    options = wanted.options(str(folder), port=str(PORT), shared_buffers=_shared())
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            [str(scratch.programs / "postgres"), "-D", str(folder / "data"), *options], stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True, cwd=folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}, **who,
        )  # fmt: skip


def _shared() -> str:
    return f"{max(64, min(1024, (psutil.virtual_memory().total // 16) >> 20))}MB"


def _replayed(wanted: Recovery, scratch: Scratch, server: subprocess.Popen[bytes]) -> None:
    """Wait until it was promoted. Raises NotThere where the log ends before, ChangeFailed where it does not start."""
    import psycopg

    deadline = time.monotonic() + wanted.seconds
    while True:
        if wanted.call.stop.is_set():
            raise Interrupted("the restore was stopped")
        with suppress(psycopg.Error), psycopg.connect(**scratch.parameters(), connect_timeout=5) as connection:  # type: ignore[arg-type]
            if not (connection.execute("SELECT pg_is_in_recovery()").fetchone() or (True,))[0]:
                return
        if server.poll() is not None:
            raise wanted.ended((scratch.folder / "log").read_text(errors="replace"))
        if time.monotonic() > deadline:
            raise wanted.late()
        time.sleep(LOOK_SECONDS)
