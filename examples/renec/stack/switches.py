"""Faults that can be thrown and mended, each of them real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg

from stack import certificates, environment, orphans, postgres, readiness, setup, supervisor
from stack.errors import StackError
from stack.instance import Instance
from stack.waiting import until

EXPIRING_DAYS = 5
LAST_DAY = 1
BALLAST = "ballast.bin"
HOLDER_PID = "connections-exhausted.pid"


def nothing(_instance: Instance) -> None:
    """The application looks at the switch's file itself."""


def stop_workers(instance: Instance) -> None:
    worker = supervisor.program(instance, "celery-worker")
    supervisor.stop_processes(instance, worker.processes(worker.slots))


def start_workers(instance: Instance) -> None:
    worker = supervisor.program(instance, "celery-worker")
    supervisor.start_processes(instance, worker.processes())
    readiness.wait(instance, worker)


def fill_artifacts(instance: Instance) -> None:
    """A file that takes what the quota has left."""
    folder = instance.folder("artifacts")
    used = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    with (folder / BALLAST).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, environment.ARTIFACTS_QUOTA_BYTES - used))


def empty_artifacts(instance: Instance) -> None:
    (instance.folder("artifacts") / BALLAST).unlink(missing_ok=True)


def replay(instance: Instance, statement: str) -> None:
    with psycopg.connect(
        postgres.url(instance, "postgres", postgres.roles(instance)[1]), autocommit=True
    ) as connection:
        connection.execute(statement)


def pause_replay(instance: Instance) -> None:
    """The replica still receives, and applies nothing: its lag grows with every write of the primary."""
    replay(instance, "SELECT pg_wal_replay_pause()")


def resume_replay(instance: Instance) -> None:
    replay(instance, "SELECT pg_wal_replay_resume()")


def reload_nginx(instance: Instance) -> None:
    pid = orphans.first_number(instance.folder("pids") / "nginx.pid")
    if pid is None:
        raise StackError("nginx does not run", "run `renec up` first")
    os.kill(pid, signal.SIGHUP)
    certificates.wait_until_served(instance)


def serve_expiring_certificate(instance: Instance) -> None:
    certificates.issue(instance, EXPIRING_DAYS)
    reload_nginx(instance)


def serve_old_certificate(instance: Instance) -> None:
    certificates.issue(instance, LAST_DAY, began=timedelta(days=certificates.SERVER_DAYS - LAST_DAY))
    reload_nginx(instance)


def serve_fresh_certificate(instance: Instance) -> None:
    """Somebody may have renewed it already."""
    if certificates.days_left(instance.folder("tls") / "server.crt") <= EXPIRING_DAYS:
        certificates.issue(instance)
    reload_nginx(instance)


def start_stalled_harvest(instance: Instance) -> None:
    """The register accepts and does not answer; a harvest is queued that will wait for it."""
    task = "src.scheduler.daily_probe.full_harvest"
    setup.in_release(instance, "-m", "celery", "-A", "src.scheduler.daily_probe", "call", task)


def hold_connections(instance: Instance) -> None:
    """A process that takes connections until about 92 % of the server's are used."""
    program = Path(__file__).with_name("connection_holder.py")
    variables = {**os.environ, supervisor.MARKER: str(instance.root), "HOLD_URL": postgres.url(instance, "api_user")}
    log = (instance.folder("logs") / "connection-holder.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, str(program)], env=variables, stdout=subprocess.PIPE, stderr=log, start_new_session=True
    )
    (instance.folder("pids") / HOLDER_PID).write_text(f"{process.pid}\n")
    assert process.stdout is not None
    if not process.stdout.readline():  # it says how many it holds as soon as it does
        raise StackError("the connections could not be taken", f"see {instance.folder('logs')}/connection-holder.log")


def release_connections(instance: Instance) -> None:
    path = instance.folder("pids") / HOLDER_PID
    pid = orphans.first_number(path)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        until(lambda: not lives(pid), 10, f"process {pid} did not end")
    path.unlink(missing_ok=True)


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc").joinpath("self").exists()


def stop_database(instance: Instance) -> None:
    supervisor.stop_processes(instance, ["postgres"])


def start_database(instance: Instance) -> None:
    supervisor.start_processes(instance, ["postgres"])
    readiness.wait(instance, supervisor.program(instance, "postgres"))


@dataclass(frozen=True)
class Switch:
    shows: str
    throw: Callable[[Instance], None] = nothing
    mend: Callable[[Instance], None] = nothing
    survives_restart: bool = True


SWITCHES = {
    "slow-api": Switch("every request to the API takes 400 ms longer where nothing else is set"),
    "api-errors": Switch("three of ten requests below /api/ are answered with 500 where nothing else is set"),
    "stopped-worker": Switch(
        "all Celery workers are stopped; tasks wait in the queue", stop_workers, start_workers, False
    ),
    "full-disk": Switch("a file fills the artifacts folder to its quota of 200 MB", fill_artifacts, empty_artifacts),
    "replication-stopped": Switch("the replica applies nothing; its lag grows", pause_replay, resume_replay, False),
    "certificate-expiring": Switch(
        "nginx serves a certificate with 5 days left", serve_expiring_certificate, serve_fresh_certificate
    ),
    "old-certificate": Switch(
        "nginx serves a certificate with one day left", serve_old_certificate, serve_fresh_certificate
    ),
    "stalled-spider": Switch("the register never answers; a harvest runs and scrapes nothing", start_stalled_harvest),
    "connections-exhausted": Switch(
        "a process holds connections: about 92 % of the server's are used", hold_connections, release_connections, False
    ),
    "registry-markup": Switch("the register has another markup; harvests end with errors"),
    "registry-throttles": Switch("the register allows six requests a second and answers 429 beyond"),
    "database-down": Switch("the primary is stopped", stop_database, start_database, False),
}


def known(name: str) -> Switch:
    """The switch. Raises StackError naming those that exist."""
    if name not in SWITCHES:
        raise StackError(f"no switch {name!r}", f"use one of: {', '.join(SWITCHES)}")
    return SWITCHES[name]


def thrown(instance: Instance) -> list[str]:
    """Switches that are thrown now."""
    return [name for name in SWITCHES if (instance.folder("switches") / name).exists()]


def forget_those_that_ended(instance: Instance) -> list[str]:
    """Clear the switches whose effect ended with the processes that it was in; returns their names."""
    ended = [name for name in thrown(instance) if not SWITCHES[name].survives_restart]
    for name in ended:
        (instance.folder("switches") / name).unlink()
    return ended


def throw(instance: Instance, name: str, parameters: dict[str, float]) -> None:
    """Throw a switch; throwing it again changes its parameters alone."""
    switch = known(name)
    path = instance.folder("switches") / name
    again = path.exists()
    path.write_text(json.dumps(parameters))
    if not again:
        try:
            switch.throw(instance)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def mend(instance: Instance, name: str) -> None:
    """Mend what the switch spoiled; a switch that is not thrown is left alone."""
    switch = known(name)
    path = instance.folder("switches") / name
    if path.exists():
        switch.mend(instance)
        path.unlink()
