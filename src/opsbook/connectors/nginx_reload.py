"""Telling nginx to read its configuration again, once it has found it valid."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil

from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.http import MaintenanceSwitch

CHECK_SECONDS = 30.0


async def check_configuration(system: System, switch: MaintenanceSwitch) -> None:
    """Raises ChangeFailed where nginx finds its configuration invalid, NotReached where it cannot be asked."""
    argv = [system.resolve(Reference(word)) for word in switch.check]
    try:
        child = await asyncio.create_subprocess_exec(
            *argv, cwd=system.folder, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        raise NotReached(f"{argv[0]}: {error.strerror}", "set `maintenance.check` of the proxy") from error
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            said, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        raise ChangeFailed(f"{argv[0]} did not end within {CHECK_SECONDS:g} s", "run it by hand") from None
    if child.returncode:
        words = said.decode(errors="replace").strip().splitlines()
        raise ChangeFailed(f"nginx finds its configuration invalid: {words[0] if words else ''}", "mend it first")


async def reload(system: System, switch: MaintenanceSwitch) -> None:
    """Tell its master process. Raises NotReached."""
    path = system.path(switch.pid_file)
    try:
        pid = int((await asyncio.to_thread(path.read_text)).split()[0])
        # A pid file that was left behind may name anybody, and SIGHUP ends most.
        if "nginx" not in psutil.Process(pid).name():
            raise NotReached(f"the process {pid} of {path} is no nginx", "is nginx running?")
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError, IndexError, psutil.Error) as error:
        reason = getattr(error, "strerror", None) or "it names no process"
        raise NotReached(f"nginx cannot be told to reload: {path}: {reason}", "is it running?") from error
