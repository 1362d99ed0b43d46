"""supervisord: its configuration, its start, and talking to it over its socket."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from stack.errors import StackError
from stack.instance import Instance
from stack.programs import Program, programs, section_text
from stack.rendering import render, write
from stack.waiting import until

MARKER = "RENEC_SUPERVISED"
"""In the environment of everything that an instance's supervisord started: by it orphans are found."""
ALREADY_STARTED, NOT_RUNNING = 60, 70
STARTED = ("STARTING", "RUNNING")
START_SECONDS = 60


def configure(instance: Instance) -> None:
    """Write supervisord.conf."""
    user = "user = root" if os.geteuid() == 0 else ""
    # the interpreter of the application first: `python -m src.cli` means in a workload what it does in a container
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}".replace("%", "%%")
    head = render(
        "supervisord.conf", root=instance.root, socket=instance.supervisor_socket, marker=MARKER, user=user, path=path
    )
    sections = [section_text(program, instance) for program in programs(instance)]
    write(instance.supervisor_config, "\n".join([head, *sections]))


def proxy(instance: Instance) -> Any:
    """supervisord's XML-RPC interface, namespace `supervisor`."""
    from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

    transport = SupervisorTransport(None, None, f"unix://{instance.supervisor_socket}")
    return ServerProxy("http://127.0.0.1", transport=transport).supervisor


def pid(instance: Instance) -> int | None:
    """The process id of supervisord if it answers on its socket."""
    try:
        return int(proxy(instance).getPID())
    except (OSError, Fault):
        return None


def start(instance: Instance) -> None:
    """Start supervisord in the background; it starts no program by itself."""
    config = instance.supervisor_config
    program = Path(sys.executable).with_name("supervisord")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "supervisor.supervisord"]
    done = subprocess.run([*command, "-c", str(config)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"supervisord: {done.stderr.strip() or done.stdout.strip()}")
    log = instance.folder("logs") / "supervisord.log"
    until(lambda: pid(instance) is not None, START_SECONDS, "supervisord did not answer", f"see {log}")


def states(instance: Instance) -> dict[str, dict[str, Any]]:
    """Process name → supervisor's information about it; names as `redis` or `api:api_00`."""
    found = proxy(instance).getAllProcessInfo()
    return {i["name"] if i["group"] == i["name"] else f"{i['group']}:{i['name']}": i for i in found}


def start_processes(instance: Instance, names: list[str]) -> None:
    """Start processes without waiting; those that run are left alone."""
    server = proxy(instance)
    for name in names:
        try:
            server.startProcess(name, False)
        except Fault as fault:
            if fault.faultCode != ALREADY_STARTED:
                raise StackError(f"{name}: {fault.faultString}", f"see {instance.folder('logs')}") from fault


def stop_processes(instance: Instance, names: list[str], wait: bool = True) -> None:
    """Stop processes; those that do not run are left alone."""
    server = proxy(instance)
    for name in names:
        with suppress(Fault):
            server.stopProcess(name, False)
    if wait:
        until(lambda: not running(instance, names), 40, f"{', '.join(names)} did not stop")


def running(instance: Instance, names: list[str]) -> list[str]:
    """Those of the named processes that run, start or stop."""
    known = states(instance)
    return [name for name in names if known[name]["statename"] in (*STARTED, "STOPPING", "BACKOFF")]


def program(instance: Instance, name: str) -> Program:
    return next(p for p in programs(instance) if p.name == name)
