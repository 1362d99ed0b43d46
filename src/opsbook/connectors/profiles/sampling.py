"""py-spy in the right place: on this host where the process is seen from here, else within its container.

py-spy reads the memory of a running Python from outside (https://github.com/benfred/py-spy); nothing is put into the
process. Its program is one static file, so that it runs in every Linux image of the same machine architecture.
"""

from __future__ import annotations

import asyncio
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.contract import LooksInside, Runtime, Seen, TakesFiles
from opsbook.errors import Refused

SPARE_SECONDS = 20.0
READING_SECONDS = 60.0
STATIC = b"\x7fELF"
INTERPRETER = 3
"""PT_INTERP of elf(5): a program with such a segment needs a dynamic linker of its image."""


def program() -> Path:
    """py-spy of this opsbook. Raises Refused where it is not installed."""
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if not found:
        raise Refused("py-spy is not installed here", "pip install 'opsbook[profile]'")
    return Path(found)


def is_static(path: Path) -> bool:
    """Whether a 64-bit ELF program needs no dynamic linker."""
    head = path.read_bytes()[:8192]
    if head[:4] != STATIC or head[4] != 2:
        return False
    start, size, count = (int.from_bytes(head[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    kinds = (int.from_bytes(head[at : at + 4], "little") for at in range(start, start + size * count, size))
    return INTERPRETER not in kinds


def sees(pid: int | None, container: str) -> bool:
    """Whether a process of a container is one of this host, by the cgroup that has the container's name."""
    try:
        told = Path(f"/proc/{pid}/cgroup").read_text() if pid else ""
    except OSError:
        return False
    return bool(container) and container in told


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what it said."""

    code: int | None
    said: str


class Host:
    """Programs of this host, for processes that are seen from here."""

    folder = ""

    async def run(self, argv: Sequence[str], seconds: float) -> Ran:
        """To its end, or ended after its time."""
        try:
            child = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            return Ran(None, f"{argv[0]}: {error.strerror}")
        try:
            async with asyncio.timeout(seconds):
                said, _ = await child.communicate()
        except TimeoutError:
            return Ran(None, f"{argv[0]} did not end within {seconds:g} s and was ended")
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return Ran(child.returncode, said.decode("utf-8", errors="replace"))


class Within:
    """Programs within one instance of a workload."""

    def __init__(self, runtime: Runtime, workload: str, instance: str) -> None:
        assert isinstance(runtime, LooksInside), "planned where it is so"
        self._runtime, self._inside, self.workload, self.instance = runtime, runtime, workload, instance

    async def run(self, argv: Sequence[str], seconds: float) -> Ran:
        """To its end, or left to its own bound after its time."""
        seen: Sequence[Seen] = await self._inside.look_inside(
            self.workload, argv, seconds, instances=[self.instance], every=True
        )
        if not seen:
            return Ran(None, f"{self.instance} is gone")
        return Ran(seen[0].code, seen[0].trouble or seen[0].said)

    async def brought(self, key: str) -> tuple[str, bool]:
        """py-spy as the container knows it, and whether it was copied there for this. Raises ChangeFailed."""
        if (await self.run(["py-spy", "--version"], SPARE_SECONDS)).code == 0:
            return "py-spy", False
        ours = program()
        machine = await self.run(["uname", "-m"], SPARE_SECONDS)
        if machine.code != 0 or machine.said.strip() != platform.machine() or not is_static(ours):
            raise ChangeFailed(
                f"py-spy is not in the image of {self.workload}, and that of this machine would not run there",
                "put py-spy into the image",
            )
        assert isinstance(self._runtime, TakesFiles), "planned where it is so"
        path = f"/tmp/opsbook-{re.sub('[^A-Za-z0-9]', '-', key)[-40:]}-py-spy"  # noqa: S108  of the container
        try:
            await self._runtime.put_inside(self.workload, self.instance, path, await asyncio.to_thread(ours.read_bytes))
        except ReadFailed as error:
            raise ChangeFailed(
                error.message, "put py-spy into the image, or mount a /tmp that can be written"
            ) from error
        return path, True


def why_not(said: str) -> str:
    """The words of py-spy that matter, with what they mean."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and "Stack backtrace" not in line]
    words = next((line.removeprefix("Error: ") for line in lines if line.startswith("Error")), "")
    reason = next((line for line in lines if line.startswith("Reason:")), "")
    told = f"{words or (lines[0] if lines else 'it said nothing')}{' ' + reason if reason else ''}"[:300]
    if "ermission denied" in said or "EPERM" in said or "perm" in words.lower():
        told += "; the kernel does not let it read other processes: it needs root or the capability SYS_PTRACE"
    elif "Failed to find python version" in said:
        told += "; is it a Python program?"
    return told
