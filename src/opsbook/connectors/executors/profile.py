"""Changes of the kind `profile`: a workload's process looked at for a while; the picture is a file beside the book.

effect: `component`, `workload`, `instance`, `what` (`cpu` or `memory`), `seconds`, `rate`, `format`, `pause`.
result: `path` (from the book's folder), `bytes`, `sha256`, `instance`, `where` (`host` or `within`); of CPU `samples`
and `errors`, of memory `resident` and `proportional` in bytes, and `processes`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.profiles.sampling import READING_SECONDS, SPARE_SECONDS, Host, Within, program, sees, why_not
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.contract import Instance, Runtime
from opsbook.connectors.runtimes.supervisor import Supervisor
from opsbook.errors import OpsbookError, Refused

FOLDER = ".opsbook/profiles"
ENDINGS = {"flamegraph": "svg", "speedscope": "speedscope.json"}
_SAMPLES = re.compile(r"Samples: (\d+) Errors: (\d+)")
_FIGURE = re.compile(r"^(Rss|Pss): +(\d+) kB", re.MULTILINE)
MOST_PROCESSES = 20
"""Of which the stacks are written beside the memory."""


@executor("profile")
class Profile:
    """Looks, and writes one file on this host."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where the process cannot be looked into, with why."""
        effect = change.effect
        try:
            one = await instance_of(self.connections.runtime, effect["workload"], effect["instance"])
            pids = await seen_here(self.connections.runtime, effect["workload"], one)
            if effect["what"] == "cpu":
                data, told, ending = await self._cpu(key, effect, one, pids)
            else:
                data, told, ending = await self._memory(key, effect, one, pids)
        except (ChangeFailed, Refused):
            raise
        except OpsbookError as error:
            raise ChangeFailed(error.message, error.hint) from error
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"{FOLDER}/{effect['component']}-{effect['what']}-{stamp}.{ending}"
        path = self.system.path(name)
        await asyncio.to_thread(_write, path, data)
        await out.write(f"{path}\n")
        where = "host" if pids else "within"
        return Done({"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
                     "instance": one.name, "where": where, **told})  # fmt: skip

    async def end(self, key: str, change: Change) -> bool:
        """It ends by itself: everything that it starts is bounded in time."""
        return True

    async def _cpu(
        self, key: str, effect: dict[str, Any], one: Instance, pids: Sequence[int]
    ) -> tuple[bytes, dict[str, Json], str]:
        if pids:
            path = self.system.path(f"{FOLDER}/{_plain(key)}.part")
            await asyncio.to_thread(path.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
            try:
                ran = await Host().run(
                    [str(program()), *record(effect, pids[0], str(path))], effect["seconds"] + SPARE_SECONDS
                )
                told = _sampled(effect, one, ran.code, ran.said)
                return await asyncio.to_thread(path.read_bytes), told, ENDINGS[effect["format"]]
            finally:
                path.unlink(missing_ok=True)
        within = Within(self.connections.runtime, effect["workload"], one.name)
        spy, copied = await within.brought(key)
        written = f"/tmp/opsbook-{_plain(key)}.part"  # noqa: S108  of the container
        try:
            ran = await within.run([spy, *record(effect, 1, written)], effect["seconds"] + SPARE_SECONDS)
            told = _sampled(effect, one, ran.code, ran.said)
            read = await within.run(["base64", written], READING_SECONDS)
            return _decoded(read.code, read.said), told, ENDINGS[effect["format"]]
        finally:
            await within.run(["rm", "-f", written, *([spy] if copied else [])], SPARE_SECONDS)

    async def _memory(
        self, key: str, effect: dict[str, Any], one: Instance, pids: Sequence[int]
    ) -> tuple[bytes, dict[str, Json], str]:
        place = Host() if pids else Within(self.connections.runtime, effect["workload"], one.name)
        argv = ["sh", "-c", _script(), "sh", *map(str, pids)]
        ran = await place.run(argv, READING_SECONDS)
        if ran.code != 0 or "process " not in ran.said:
            raise ChangeFailed(
                f"the memory of {one.name} cannot be read: {ran.said.strip()[:300] or 'nothing was said'}"
            )
        stacks = await self._stacks(key, place, [int(pid) for pid in re.findall(r"^process (\d+):", ran.said, re.M)])
        figures: dict[str, int] = {"Rss": 0, "Pss": 0}
        for name, kilobytes in _FIGURE.findall(ran.said):
            figures[name] += int(kilobytes) * 1024
        text = f"{effect['component']}, {one.name}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n\n{ran.said}\n{stacks}"
        told = {"resident": figures["Rss"], "proportional": figures["Pss"], "processes": ran.said.count("process ")}
        return text.encode(), told, "txt"

    async def _stacks(self, key: str, place: Host | Within, pids: Sequence[int]) -> str:
        """What each Python process does at this moment; why not, where that cannot be had: the figures stand alone."""
        copied = False
        spy = ""
        try:
            spy, copied = await place.brought(key) if isinstance(place, Within) else (str(program()), False)
            lines = []
            for pid in pids[:MOST_PROCESSES]:
                ran = await place.run([spy, "dump", "--nonblocking", "--pid", str(pid)], SPARE_SECONDS)
                said = ran.said if ran.code == 0 else f"no stacks: {why_not(ran.said)}\n"
                lines.append(f"stacks of process {pid}\n{said}")
            return "\n".join(lines)
        except (ChangeFailed, Refused) as error:
            return f"no stacks: {error.message}\n"
        finally:
            if copied:
                await place.run(["rm", "-f", spy], SPARE_SECONDS)


def record(effect: dict[str, Any], pid: int, path: str) -> list[str]:
    """The arguments of py-spy."""
    argv = ["record", "--pid", str(pid), "--subprocesses", "--duration", str(effect["seconds"]),
            "--rate", str(effect["rate"]), "--format", effect["format"], "--output", path]  # fmt: skip
    return argv if effect["pause"] else [*argv, "--nonblocking"]


async def instance_of(runtime: Runtime, workload: str, name: str) -> Instance:
    """The one that is named, or the first that is ready. Raises Refused."""
    found = (await runtime.status(workload)).instances
    chosen = next((one for one in found if (one.name == name if name else one.ready)), None)
    if chosen is None:
        known = ", ".join(one.name for one in found) or "it has none"
        raise Refused(f"{workload} has no instance {name}" if name else f"no instance of {workload} is ready", known)
    return chosen


async def seen_here(runtime: Runtime, workload: str, one: Instance) -> list[int]:
    """Its processes as this host counts them, the first one before its children; none where they are elsewhere."""
    if one.pid is None:
        return []
    if isinstance(runtime, Compose):
        container = next((each.id for each in await runtime.containers(workload) if each.name == one.name), "")
        if not sees(one.pid, container):
            return []
    elif not (isinstance(runtime, Supervisor) and runtime.local):
        return []
    return await asyncio.to_thread(_tree, one.pid)


def _tree(pid: int) -> list[int]:
    import psutil

    try:
        return [pid, *(one.pid for one in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return []


@cache
def _script() -> str:
    return files("opsbook.connectors.profiles").joinpath("memory.sh.txt").read_text(encoding="utf-8")


def _plain(key: str) -> str:
    return re.sub("[^A-Za-z0-9]", "-", key)[-40:]


def _sampled(effect: dict[str, Any], one: Instance, code: int | None, said: str) -> dict[str, Json]:
    counted = _SAMPLES.search(said)
    if code == 0 and counted and int(counted[1]):
        return {"samples": int(counted[1]), "errors": int(counted[2])}
    if (code == 0 and counted) or "No stack counts found" in said:
        raise ChangeFailed(f"{one.name} used no CPU in {effect['seconds']} s, so that there is nothing to show",
                           "look while it works, or for longer")  # fmt: skip
    raise ChangeFailed(f"py-spy cannot look into {one.name}: {why_not(said)}")


def _decoded(code: int | None, said: str) -> bytes:
    try:
        if code == 0:
            return base64.b64decode("".join(said.split()), validate=True)
    except binascii.Error:
        pass
    raise ChangeFailed(
        f"the profile cannot be read from the container: {said.strip()[:200]}", "is `base64` in its image?"
    )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o600)
