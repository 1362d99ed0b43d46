"""Processes that outlived their supervisord, found by the marker in their environment or by their pid file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from stack.instance import Instance
from stack.supervisor import MARKER

GENTLE_SECONDS = 6.0
HARVEST_SECONDS = 2.0

PID_FILES = (
    "pgdata/postmaster.pid",
    "pgdata-replica/postmaster.pid",
    "etc/pgbouncer/pgbouncer.pid",
    "pids/nginx.pid",
    "pids/redis.pid",
    "pids/supervisord.pid",
)


def first_number(path: Path) -> int | None:
    """The pid in the first line of a pid file."""
    try:
        line = path.read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return None
    return int(line) if line.isdigit() else None


def belongs(process: psutil.Process, instance: Instance) -> bool:
    """Whether the process is this instance's: a stale pid file may name a stranger's.

    Servers that rewrite their title lose their environment, so their command line or working folder decides for them.
    """
    with process.oneshot():
        said = " ".join(process.cmdline())
        places = (str(instance.root), f"127.0.0.1:{instance.port('redis')}")
        return any(place in said for place in places) or Path(process.cwd()).is_relative_to(instance.root)


def leaderless(leader: int) -> list[psutil.Process]:
    """Members of a process group whose leader is dead, as nginx's workers after a kill of their master.

    The kernel gives out no process id that is still the id of a group, so they are that leader's own.
    """
    if psutil.pid_exists(leader):
        return []
    members = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == leader:
                members.append(process)
    return members


def by_pid_file(instance: Instance) -> Iterator[psutil.Process]:
    for name in PID_FILES:
        number = first_number(instance.root / name)
        yield from leaderless(number) if number else ()
        try:
            if number and belongs(process := psutil.Process(number), instance):
                yield process
        except psutil.Error:
            continue


def by_marker(instance: Instance) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(instance.root):
                yield process
        except (psutil.Error, OSError):
            continue


def find(instance: Instance) -> list[psutil.Process]:
    """Every living process of this instance, its children included."""
    found: dict[int, psutil.Process] = {}
    for process in (*by_pid_file(instance), *by_marker(instance)):
        try:
            family = [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
        found.update({member.pid: member for member in family if member.is_running()})
    return [p for p in found.values() if p.status() != psutil.STATUS_ZOMBIE]


def end_harvests(instance: Instance) -> None:
    """Ask harvests under way to stop, so that they are recorded as cancelled; one that hangs is killed."""
    harvests = []
    for process in by_marker(instance):
        try:
            if "src.cli" in (said := process.cmdline()) and "harvest" in said:
                process.terminate()
                harvests.append(process)
        except psutil.Error:
            continue
    _, stubborn = psutil.wait_procs(harvests, timeout=HARVEST_SECONDS)
    for process in stubborn:
        with suppress(psutil.Error):
            process.kill()


def end(instance: Instance) -> int:
    """End all of them, gently first; returns how many there were. PostgreSQL is asked for its fast shutdown."""
    orphans = find(instance)
    for process in orphans:
        try:
            if Path(process.exe()).name == "postgres":
                process.send_signal(signal.SIGINT)
            else:
                process.terminate()
        except psutil.Error:
            continue
    _, stubborn = psutil.wait_procs(orphans, timeout=GENTLE_SECONDS)
    for process in stubborn:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=GENTLE_SECONDS)
    return len(orphans)
