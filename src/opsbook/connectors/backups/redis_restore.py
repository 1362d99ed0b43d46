"""A snapshot of Redis as a file, proven by a server of our own that loads it. Blocking."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from opsbook.connectors.backups.opened import OpenedBackup
from opsbook.connectors.backups.postgres_restore import Interrupted
from opsbook.connectors.backups.scratch_programs import NoProgram
from opsbook.connectors.change import ChangeFailed

PROGRAMS = ("redis-server", "valkey-server")
FILE = "dump.rdb"
LOAD_SECONDS = 600.0
LOOK_SECONDS = 0.1


@dataclass
class Loaded:
    """What a server found in the file."""

    keys: dict[str, int] = field(default_factory=dict)
    """Database (`db0`) → keys, those that have expired since not among them."""

    @property
    def total(self) -> int:
        return sum(self.keys.values())


def is_rdb_of(backup: OpenedBackup, path: Path) -> bool:
    """Whether a file is the snapshot already."""
    (part,) = [part for part in backup.manifest.parts if part.role == "rdb"]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == part.plain_sha256


def write_rdb(backup: OpenedBackup, path: Path) -> None:
    """The snapshot into a file, which appears only when it is whole. Raises Damaged, ChangeFailed."""
    (part,) = [part for part in backup.manifest.parts if part.role == "rdb"]
    working = path.with_name(f".{path.name}.opsbook-restoring")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with working.open("wb") as file:
                backup.read(part, file.write)
            working.rename(path)
        finally:
            working.unlink(missing_ok=True)
    except OSError as error:
        raise ChangeFailed(f"{path}: {error.strerror}", "is there room, and may this user write there?") from error


def load(path: Path, stop: threading.Event) -> Loaded:
    """What a server of our own finds when it loads the file. Raises NoProgram, ChangeFailed with the server's words."""
    import redis

    with _server(path) as (process, socket, log):
        deadline = time.monotonic() + LOAD_SECONDS
        while True:
            if stop.is_set():
                raise Interrupted("the restore was stopped")
            if process.poll() is not None or time.monotonic() > deadline:
                words = log.read_text(errors="replace").strip().splitlines()
                raise ChangeFailed(f"no server loads the snapshot: {words[-1] if words else 'it says nothing'}", "")
            try:
                with redis.Redis(unix_socket_path=str(socket)) as client:
                    told = client.info("keyspace")
                    return Loaded({str(name): int(one["keys"]) for name, one in dict(told).items()})
            except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                time.sleep(LOOK_SECONDS)


@contextmanager
def _server(path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise NoProgram("this host has no redis-server to prove the snapshot with", "install redis-server")
    with tempfile.TemporaryDirectory(prefix="opsbook-scratch-redis-") as folder:
        socket, log = Path(folder) / "socket", Path(folder) / "log"
        shutil.copyfile(path, Path(folder) / FILE)
        argv = [program, "--port", "0", "--unixsocket", str(socket), "--dir", folder, "--dbfilename", FILE,
                "--save", "", "--appendonly", "no"]  # fmt: skip
        with log.open("wb") as output:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield process, socket, log
        finally:
            process.kill()
            process.wait()
