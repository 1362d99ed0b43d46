"""A PostgreSQL server of our own, for as long as a restore is proven: made, used, and removed whatever happens.

It listens on a socket in its own folder alone, keeps nothing through a crash (fsync is off), and is marked with the
process that owns it: what a killed process left behind is ended and removed by the next one (`sweep`).
"""

from __future__ import annotations

import json
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from opsbook.connectors.backups.scratch_programs import server_folder
from opsbook.connectors.change import ChangeFailed

log = logging.getLogger(__name__)

PREFIX = "opsbook-scratch-"
MARKER = "owner.json"
USER = "postgres"
PORT = 5432
"""Only names the socket."""
LONGEST_SOCKET = 90
"""A socket's path has at most 107 characters, with its own name."""
START_SECONDS, STOP_SECONDS = 60.0, 20.0
UNMARKED_SECONDS = 3600.0
"""A folder without an owner is one whose process was killed while it made it; not one that is being made."""
SPARE = 256 << 20
"""Bytes beyond the data that a server takes for itself."""
SETTINGS = {
    "listen_addresses": "''", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
    "wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "'8GB'", "checkpoint_timeout": "'1h'",
    "autovacuum": "off", "jit": "off", "logging_collector": "off", "log_min_messages": "'error'", "timezone": "'UTC'",
}  # fmt: skip
"""Nothing that it holds must outlive it."""


class NoRoom(ChangeFailed):
    """The disk has not enough room for a restore."""

    exit_code = 3


@dataclass(frozen=True)
class Scratch:
    """A running server. Whoever may enter its folder is its superuser."""

    folder: Path
    socket: Path
    programs: Path
    major: int
    user: str

    def parameters(self, database: str = "postgres") -> dict[str, str]:
        """Connection parameters of libpq."""
        return {"host": str(self.socket), "port": str(PORT), "user": self.user, "dbname": database}


@contextmanager
def scratch_server(version: int, needs: int, parents: Sequence[Path] = (), connections: int = 20) -> Iterator[Scratch]:
    """A server that can hold `needs` bytes of data of a `server_version_num`, in the first of the folders with room.

    The host's folder for temporary files is the last of them. Removes what dead processes left there before. Raises
    NoProgram, NoRoom, and ChangeFailed with the server's own words where it does not start.
    """
    programs, major = server_folder(version)
    with scratch_folder(needs, parents) as folder:
        yield _started(folder, programs, major, connections)


@contextmanager
def scratch_folder(needs: int, parents: Sequence[Path] = ()) -> Iterator[Path]:
    """A folder of the server's user with room; what runs from `data` below it is ended when the block is left.

    Raises NoRoom.
    """
    parents = [*parents, Path(tempfile.gettempdir())]
    for parent in dict.fromkeys(parents):
        sweep(parent)
    folder = _made(_with_room(parents, needs + SPARE))
    try:
        yield folder
    finally:
        _remove(folder)


def sweep(parent: Path) -> list[Path]:
    """End and remove the servers below this folder whose process has died. Never raises; what it removed."""
    removed = []
    try:
        found = sorted(parent.glob(f"{PREFIX}*"))
    except OSError:
        return []
    for folder in found:
        with suppress(OSError):
            if _ours(folder) and _abandoned(folder):
                _end_writers(folder)
                _remove(folder)
                removed.append(folder)
    return removed


def _ours(folder: Path) -> bool:
    """Whether we made it: in a folder that everybody may write to, anybody can make one of this name."""
    about = folder.lstat()
    return stat.S_ISDIR(about.st_mode) and about.st_uid in {os.geteuid(), _identity_uid()}


def _abandoned(folder: Path) -> bool:
    try:
        owner = json.loads((folder / MARKER).read_text())
        process = psutil.Process(int(owner["pid"]))
        return abs(process.create_time() - float(owner["started"])) > 1.0
    except psutil.NoSuchProcess:
        return True
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return time.time() - folder.stat().st_mtime > UNMARKED_SECONDS


def _with_room(parents: Sequence[Path], needs: int) -> Path:
    """The first folder that the server's user can reach and that has room. Raises NoRoom."""
    told = []
    for parent in dict.fromkeys(parents):
        if not parent.is_dir() or not _passable(parent):
            continue
        free = shutil.disk_usage(parent).free
        if free >= needs:
            return parent
        told.append(f"{parent} has {free / 2**30:.1f} GB free")
    raise NoRoom(
        f"a restore needs {needs / 2**30:.1f} GB: {', '.join(told) or 'there is no folder for it'}",
        "make room, or set TMPDIR to a folder with more",
    )


def _passable(parent: Path) -> bool:
    """Whether another user reaches what lies in the folder; asked for root alone, who is not the server's user."""
    if os.geteuid() != 0:
        return os.access(parent, os.W_OK | os.X_OK)
    uid = _identity_uid()
    return all(
        about.st_mode & stat.S_IXOTH or (about.st_uid == uid and about.st_mode & stat.S_IXUSR)
        for about in (one.stat() for one in (parent, *parent.parents))
    )


def _made(parent: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    own = psutil.Process()
    (folder / MARKER).write_text(json.dumps({"pid": own.pid, "started": own.create_time()}))
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    return folder


def _started(folder: Path, programs: Path, major: int, connections: int) -> Scratch:
    data, user = folder / "data", _user()
    made = _run([str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", user, "-E", "UTF8", "--no-locale",
                 "--no-sync", "--no-instructions"], folder)  # fmt: skip
    if made.returncode:
        raise ChangeFailed(f"initdb: {_last_line(made.stderr)}", "is the disk full?")
    sockets = folder
    if len(str(folder)) > LONGEST_SOCKET:
        sockets = Path(tempfile.mkdtemp(prefix=PREFIX))
        (folder / "sockets").symlink_to(sockets)
        if os.geteuid() == 0:
            shutil.chown(sockets, USER)
    memory = psutil.virtual_memory().total
    settings = {
        **SETTINGS, "port": str(PORT), "unix_socket_directories": f"'{sockets}'",
        "max_connections": str(connections), "shared_buffers": f"'{_megabytes(memory // 16, 64, 1024)}MB'",
        "maintenance_work_mem": f"'{_megabytes(memory // 32, 64, 512)}MB'",
    }  # fmt: skip
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = {value}\n" for name, value in settings.items())
    with (folder / "log").open("wb") as output:
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data)], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, cwd=folder, **_identity(),
        )  # fmt: skip
    scratch = Scratch(folder, sockets, programs, major, user)
    _await(scratch, server)
    return scratch


def _await(scratch: Scratch, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(psycopg.Error), psycopg.connect(**scratch.parameters(), connect_timeout=5):  # type: ignore[arg-type]
            return
        if server.poll() is not None or time.monotonic() > deadline:
            words = (scratch.folder / "log").read_text(errors="replace")
            raise ChangeFailed(f"the scratch server does not start: {_last_line(words)}", "is memory or disk full?")
        time.sleep(0.05)


def _remove(folder: Path) -> None:
    """End the server and delete its files. Never raises: the next sweep tries again."""
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        _end(pid, folder / "data")
    except (OSError, ValueError, IndexError):
        pass
    sockets = folder / "sockets"
    if sockets.is_symlink():
        shutil.rmtree(sockets.resolve(), ignore_errors=True)
    # Its mark goes last: without it nobody would know for an hour that the folder is nobody's.
    with suppress(OSError):
        for one in sorted(folder.iterdir(), key=lambda one: one.name == MARKER):
            if one.name == MARKER and any(other != one for other in folder.iterdir()):
                break
            shutil.rmtree(one, ignore_errors=True) if one.is_dir() and not one.is_symlink() else one.unlink()
        folder.rmdir()
    if folder.exists():
        log.warning("%s could not be removed", folder)


def _end_writers(folder: Path) -> None:
    """End what fills it still: a program that copies, or makes a cluster, may outlive the process that began it."""
    data = str(folder / "data")
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(word == data or word.endswith(f"={data}") for word in process.cmdline()):
                found += [process, *process.children(recursive=True)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in found:
            with suppress(psutil.Error):
                process.send_signal(number)
        _, found = psutil.wait_procs(found, timeout=STOP_SECONDS)


def _end(pid: int, data: Path) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        # A file that was left behind may name anybody.
        if str(data) not in process.cmdline():
            return
        family = [process, *process.children(recursive=True)]
        for number in (signal.SIGQUIT, signal.SIGKILL):
            for one in family if number == signal.SIGKILL else family[:1]:
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(number)
            _, family = psutil.wait_procs(family, timeout=STOP_SECONDS)
            if not family:
                return


def _run(argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        **_identity(),
    )  # fmt: skip
    return done


def _user() -> str:
    """Who the server runs as: it refuses root."""
    return USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _identity() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        raise ChangeFailed("PostgreSQL does not run as root, and there is no user postgres", "add one") from None
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def _identity_uid() -> int:
    try:
        return pwd.getpwnam(USER).pw_uid if os.geteuid() == 0 else os.geteuid()
    except KeyError:
        return os.geteuid()


def _megabytes(size: int, least: int, most: int) -> int:
    return max(least, min(most, size >> 20))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"
