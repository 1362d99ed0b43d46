"""up, down and destroy."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Never
from xmlrpc.client import Fault

from stack import orphans, readiness, setup, supervisor, switches
from stack.errors import StackError
from stack.instance import EXAMPLE, Instance, existing, lay_out
from stack.programs import programs
from stack.progress import Progress
from stack.waiting import until

FIRST = ("postgres", "redis", "registry-site", "pgbouncer")
STOP_SECONDS = 12
STOPPED_BY_SWITCH = {"stopped-worker": "celery-worker", "database-down": "postgres"}


def up(progress: Progress) -> Instance:
    """Set up if needed, start what does not run, return when everything answers.

    If it fails or is interrupted, what it started is stopped again, and a set-up that did not get through is removed.
    """
    instance = existing() or lay_out()
    with instance.lock(), interruptible():
        first = not instance.complete
        ran_before = not first and supervisor.pid(instance) is not None
        try:
            bring_up(instance, first, progress)
        except BaseException:
            if ran_before:
                raise
            progress.say("  cleaning up")
            stop(instance)
            if first:
                remove(instance)
            raise
    if instance.run.resolve() != (EXAMPLE / ".run").resolve():
        # The book says `../.run`: it would operate another instance, or none.
        progress.say(f"  its book: a copy of ops/ with the instance beside it: ln -sfn {instance.run} .run")
    return instance


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does, so that cleaning up happens for both."""

    def interrupt(*_: object) -> Never:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def bring_up(instance: Instance, first: bool, progress: Progress) -> None:
    if supervisor.pid(instance) is None:
        ended = orphans.end(instance)
        if ended:
            progress.say(f"  ended {ended} processes that had lost their supervisord")
        clear_stale_files(instance)
        taken = ", ".join(f"{port} ({name})" for name, port in readiness.busy_ports(instance))
        if taken:
            raise StackError(
                f"ports are taken: {taken}", "set RENEC_PORT_BASE to a free range, or stop what listens there"
            )
        if first:
            setup.prepare(instance, progress)
        else:
            setup.configure(instance)
            for name in switches.forget_those_that_ended(instance):
                progress.say(f"  mended by the restart: {name}")
        supervisor.start(instance)
    if first:
        with progress.step("postgres"):
            supervisor.start_processes(instance, list(FIRST))
            readiness.postgres.wait_for_primary(instance)
        setup.fill(instance, progress)
        (instance.root / "complete").touch()
    start_everything(instance, progress)


def start_everything(instance: Instance, progress: Progress) -> None:
    """Start all programs at once and wait for each; what a switch stopped stays stopped."""
    stopped = {STOPPED_BY_SWITCH.get(path.name) for path in instance.folder("switches").iterdir()}
    if "postgres" in stopped:
        raise StackError("the switch database-down is thrown", "run `renec mend database-down` first")
    wanted = [program for program in programs(instance) if program.name not in stopped]
    names = [name for program in wanted for name in program.processes()]
    supervisor.start_processes(instance, names)
    for program in wanted:
        label = program.name if program.slots == 1 else f"{program.name} × {program.running}"
        with progress.step(label):
            readiness.wait(instance, program)
    present = {program.name for program in wanted}
    for name in ("prometheus", "alertmanager"):
        if name not in present:
            progress.say(f"  – {name} is not installed: the stack runs without it")


def clear_stale_files(instance: Instance) -> None:
    """Remove what dead processes left: sockets, pid files, the metrics of processes that are gone."""
    for path in (*instance.folder("pids").iterdir(), *instance.folder("metrics").iterdir()):
        path.unlink()
    for path in instance.sockets.iterdir():
        path.unlink(missing_ok=True)


def stop(instance: Instance) -> None:
    """Stop everything of this instance; its data stay."""
    if supervisor.pid(instance) is not None:
        server = supervisor.proxy(instance)
        orphans.end_harvests(instance)
        early = [p.name for p in programs(instance) if not p.name.startswith("postgres")]
        for name in early:
            with suppress(Fault):
                server.stopProcessGroup(name, False)
        names = [name for p in programs(instance) if p.name in early for name in p.processes(p.slots)]
        with suppress(StackError):  # a worker in the middle of a harvest does not get more time than this
            until(lambda: not supervisor.running(instance, names), STOP_SECONDS, "programs did not stop")
        with suppress(Fault):
            server.signalProcessGroup("celery-worker", "QUIT")
        for name in ("postgres-replica", "postgres"):
            with suppress(Fault):
                server.stopProcess(name, True)
        with suppress(OSError, Fault):
            server.shutdown()
        with suppress(StackError):
            until(lambda: supervisor.pid(instance) is None, STOP_SECONDS, "supervisord did not end")
    orphans.end(instance)


def down() -> None:
    """Stop everything, keep the data."""
    instance = existing()
    if instance is None:
        return
    with instance.lock():
        stop(instance)


def destroy() -> None:
    """Stop everything and leave nothing behind."""
    instance = existing()
    if instance is None:
        return
    with instance.lock():
        stop(instance)
        remove(instance)


def remove(instance: Instance) -> None:
    """Remove the folder, the link to it and the sockets' folder."""
    if not instance.sockets.is_relative_to(instance.root):
        shutil.rmtree(instance.sockets, ignore_errors=True)
    shutil.rmtree(instance.root)
    if instance.run.is_symlink():
        instance.run.unlink()
