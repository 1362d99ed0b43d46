"""pgBackRest of the image of a workload, run in its containers: in one that runs, or in one beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from opsbook.book.system import System
from opsbook.connectors.backups.pgbackrest_place import Work
from opsbook.connectors.backups.postgres_restore import Interrupted
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.registry import open_connections
from opsbook.connectors.runtimes.beside import Inside, Said, as_owner, within
from opsbook.connectors.runtimes.contract import Runtime
from opsbook.errors import Absent

T = TypeVar("T")
LOOK_SECONDS = 0.2
SHORT_SECONDS = 30.0
FINDING = "command -v pgbackrest"
READING = '[ -f "$1" ] || exit 9; cat "$1" 2>/dev/null || true'
"""One that may not be read is there all the same."""
NO_FILE = 9
NO_PROGRAM = 127
LEADING = '[ -e "$1/postmaster.pid" ] && [ ! -e "$1/standby.signal" ] && [ ! -e "$1/recovery.signal" ]'
"""Whether a server works in a data folder, and follows no other."""
PREPARING = """
owner=$(stat -c %u:%g "$1") || exit 1
shift
for one in "$@"; do
  [ -d "$one" ] || { mkdir -p "$one" && chmod 750 "$one" && chown "$owner" "$one"; } || exit 1
done
echo "$owner"
"""
"""Makes folders of the owner of a path, and says who that is."""


class Do(Protocol):
    """Does something in a container, and waits for it."""

    def __call__(self, key: str, work: Callable[[Inside], Awaitable[T]]) -> T: ...


class Contained:
    """A container as a place of pgBackRest."""

    def __init__(self, workload: str, do: Do) -> None:
        self.workload, self.do = workload, do

    def program(self) -> str:
        """See `Place.program`."""
        return "pgbackrest"

    def path(self) -> str:
        """See `Place.path`."""
        said = self._said(["sh", "-c", FINDING])
        if said.code is None:
            raise NotReached(said.why, f"opsbook status {self.workload}")
        if said.code != 0 or not said.out.strip():
            raise NotReached(f"the image of {self.workload} has no pgbackrest", "put it into the image")
        return said.out.strip()

    def text(self, path: Path) -> str | None:
        """See `Place.text`."""
        said = self._said(["sh", "-c", READING, "sh", str(path)])
        if said.code not in (0, NO_FILE):
            raise NotReached(f"{path} of {self.workload} cannot be seen: {said.why}", "is its container running?")
        return said.out if said.code == 0 else None

    def run(self, argv: Sequence[str], owner: Path | None, work: Work) -> int:
        """See `Place.run`."""
        rest = ""

        async def hear(_channel: int, piece: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + piece.decode(errors="replace")).split("\n")
            for line in lines:
                work.hear(line + "\n")

        async def run(inside: Inside) -> Said:
            command = as_owner(str(owner), argv) if owner else argv
            running = inside.run(command, seconds=work.seconds, env={"LC_ALL": "C.UTF-8"}, hear=hear)
            return await stoppable(running, work.stop)

        said = self.do(work.key, run)
        if rest:
            work.hear(rest)
        if said.code == NO_PROGRAM:
            raise NotReached(f"the image of {self.workload} has no {argv[0]}", "put it into the image")
        if said.code is None:
            raise ChangeFailed(f"{argv[0]} in a container of {self.workload}: {said.why}", "see how it stands there")
        return said.code

    def lay(self, path: Path, text: str, owner: Path, folders: Sequence[Path]) -> None:
        """See `Place.lay`."""
        wanted = [str(one) for one in (path.parent, *folders)]

        async def write(inside: Inside) -> None:
            said = await inside.run(["sh", "-c", PREPARING, "sh", str(owner), *wanted], seconds=SHORT_SECONDS)
            if said.code != 0:
                raise NotReached(f"{path.parent} of {self.workload} cannot be made: {said.why}", "is it in a volume?")
            user, _, group = said.out.strip().partition(":")
            await inside.put(str(path), text.encode(), (int(user), int(group)))

        self.do("", write)

    def lacking(self, data: Path) -> str:
        """See `Place.lacking`."""
        return f"the files of the cluster ({data}) are not in the containers of {self.workload}"

    def _said(self, argv: Sequence[str]) -> Said:
        async def look(inside: Inside) -> Said:
            return await inside.run(argv, seconds=SHORT_SECONDS)

        return self.do("", look)


class Running(Contained):
    """The container of a workload that runs; looked for anew each time. Raises ReadFailed where none does.

    Of servers that take each other's place it is that of the primary, which the book's `workload` need not name.
    """

    def __init__(self, system: System, workload: str, servers: Sequence[tuple[str, str]] = ()) -> None:
        """`servers`: workload and data folder of each that may be the primary."""
        self.system, self.servers = system, tuple(servers)
        super().__init__(workload, self._do)

    def _do(self, key: str, work: Callable[[Inside], Awaitable[T]]) -> T:
        async def run() -> T:
            async with open_runtime(self.system) as runtime:
                return await work(await within(runtime, await self.primary(runtime), key))

        return asyncio.run(run())

    async def primary(self, runtime: Runtime) -> str:
        """The workload of the server that is the primary now; the book's where none is."""
        for workload, data in self.servers:
            with suppress(ReadFailed, Absent):
                inside = await within(runtime, workload, "")
                if (await inside.run(["sh", "-c", LEADING, "sh", data], seconds=SHORT_SECONDS)).code == 0:
                    return workload
        return self.workload

    @property
    def workloads(self) -> tuple[str, ...]:
        """All that a command may run in."""
        return tuple(dict.fromkeys((self.workload, *(name for name, _ in self.servers))))


@asynccontextmanager
async def open_runtime(system: System) -> AsyncIterator[Runtime]:
    """The runtime of a system, for the loop that runs now."""
    async with open_connections(system) as connections:
        yield connections.runtime


async def stoppable(work: Coroutine[Any, Any, T], stop: threading.Event) -> T:
    """What the work returns; Interrupted once somebody asks it to stop, when it has cleaned up."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            if stop.is_set():
                raise Interrupted("it was stopped")
            await asyncio.wait({task}, timeout=LOOK_SECONDS)
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
