"""A command in the place of a workload: its directory, its environment, its user; found again by its key."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsbook.connectors.change import ChangeFailed, Done, Sink
from opsbook.connectors.runtimes.contract import Seen
from opsbook.errors import OpsbookError

KEY = "OPSBOOK_KEY"
"""Marks the command and its children, so that they can be ended after a crash of opsbook itself."""
END_SECONDS = 5.0
KEPT = 65_536
"""Characters of the end of its output that are kept as its result."""


@dataclass(frozen=True)
class Place:
    """Where a process of a workload runs: its directory, its user, its variables."""

    directory: str
    user: str
    environment: Mapping[str, str]


class CommandFailed(ChangeFailed):
    """The command ran to its end and said that it failed."""


class CommandUnended(OpsbookError):
    """The command took too long and was ended: what it had done by then is not known."""

    exit_code = 1


async def run(key: str, effect: dict[str, Any], environment: dict[str, str], out: Sink) -> Done:
    """Run it to its end: `exit`, and the end of what it printed as `stdout`.

    Raises ChangeFailed where it did not start, CommandFailed where it ended badly, CommandUnended where it was ended.
    """
    if any("\0" in value for value in environment.values()):
        raise ChangeFailed("a value of its environment holds a NUL", "put it into a file")
    try:
        child = await asyncio.create_subprocess_exec(
            *effect["argv"],
            cwd=effect["directory"],
            env={**environment, KEY: key},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            **as_user(effect["user"]),
        )
    except OSError as error:
        raise ChangeFailed(
            f"{effect['argv'][0]}: {error.strerror}", "is it installed where the workload runs?"
        ) from error
    said = ""
    try:
        async with asyncio.timeout(effect["timeout"]):
            assert child.stdout is not None
            while part := await child.stdout.read(65536):
                text = part.decode("utf-8", errors="replace")
                said = (said + text)[-KEPT:]
                await out.write(text)
            code = await child.wait()
    except TimeoutError as error:
        await end(key)
        raise CommandUnended(f"{effect['argv'][0]} did not end within {effect['timeout']:g} s and was ended") from error
    except asyncio.CancelledError:
        await end(key)
        raise
    if code < 0:
        raise CommandUnended(f"the command in {effect['workload']} was ended by signal {-code}", "its output says more")
    if code:
        last = next((f": {line.strip()[:300]}" for line in reversed(said.splitlines()) if line.strip()), "")
        raise CommandFailed(f"the command in {effect['workload']} ended with {code}{last}", "its output says more")
    return Done({"exit": 0, "stdout": said})


async def end(key: str) -> bool:
    """End everything that carries the key. True when nothing of it runs any more."""
    clock = asyncio.get_running_loop().time
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = clock() + END_SECONDS
        _signal(key, number)
        while _carriers(key):
            if clock() > deadline:
                break
            await asyncio.sleep(0.05)
        else:
            return True
    return not _carriers(key)


def _signal(key: str, number: int) -> None:
    for pid in _carriers(key):
        try:
            os.kill(pid, number)
        except OSError:
            continue  # it has ended, or is not ours any more


def _carriers(key: str) -> list[int]:
    wanted = f"{KEY}={key}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # another user's, or gone
    return found


def as_user(name: str) -> dict[str, Any]:
    """The user of the program, where this one may become it: what starts a child."""
    if not name or os.geteuid() != 0:
        return {}
    entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(entry.pw_name, entry.pw_gid)}


async def look(instance: str, argv: Sequence[str], place: Place, seconds: float) -> Seen:
    """A program that only looks, in the place of one process."""
    try:
        child = await asyncio.create_subprocess_exec(
            *argv, cwd=place.directory, env=dict(place.environment), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
            **as_user(place.user),
        )  # fmt: skip
    except FileNotFoundError:
        return Seen(instance, None, "")
    except OSError as error:
        return Seen(instance, None, "", f"{argv[0]}: {error.strerror}")
    try:
        async with asyncio.timeout(seconds):
            said, _ = await child.communicate()
    except TimeoutError:
        return Seen(instance, None, "", f"nothing came back from {instance} within {seconds:g} s")
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    return Seen(instance, child.returncode, said.decode("utf-8", errors="replace"))
