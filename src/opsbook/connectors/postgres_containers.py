"""Servers in containers: whether their runtime keeps them stopped, and their data folders beside them.

A process in a container is not seen from another: that no instance of the workload is left is the proof that nothing
works in its folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import PurePosixPath

from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed, Sink
from opsbook.connectors.postgres import FailoverServer, PostgresComponent
from opsbook.connectors.postgres_folder import DataFolder, Here
from opsbook.connectors.postgres_folder_inside import Within
from opsbook.connectors.postgres_pair import Seen, Server, look
from opsbook.connectors.runtimes.beside import Beside, beside, end_beside
from opsbook.connectors.runtimes.contract import LooksInside, Runtime, Status, Unsupported
from opsbook.errors import OpsbookError, Refused, Unreachable

ENDED = frozenset({"stopped", "exited", "created", "configured", "dead", "succeeded", "failed", "evicted"})
"""States, in the words of every runtime, of an instance of which nothing runs and that nobody is about to start."""
OPEN_SECONDS = 100.0
"""A container that is not there by then may be on a node that is gone."""
LASTS_SECONDS = 900.0
REBUILD_SECONDS = 12 * 3600.0
KILL_SECONDS = 30.0
KILL = """
pid=$(head -n 1 "$1/postmaster.pid") || exit 3
if [ "$pid" = 1 ]; then kill -QUIT 1; else kill -KILL "$pid"; fi
"""
"""The first process of a container gets no SIGKILL from within; at SIGQUIT a postmaster ends without another write."""


def left(status: Status) -> list[str]:
    """Instances of which something may still run, or be started by the engine."""
    return [
        f"{one.name} ({one.state})"
        for one in status.instances
        if one.pid or one.ready or one.state.lower() not in ENDED
    ]


async def kept_stopped(runtime: Runtime, workload: str) -> bool:
    """Whether nothing of it runs, and its runtime starts nothing by itself."""
    _forget(runtime)
    status = await runtime.status(workload)
    wanted = status.workload.wanted
    return not left(status) and (not wanted or bool(status.instances))


def _forget(runtime: Runtime) -> None:
    forget = getattr(runtime, "forget", None)
    if forget is not None:
        forget()


async def look_at_both(system: System, runtime: Callable[[], Runtime], component: str) -> tuple[Seen, Seen]:
    """What both servers say now; of one in a container that does not answer, whether it is kept stopped."""
    first, second = await asyncio.to_thread(look, system, component)
    return await _with_runtime(first, runtime), await _with_runtime(second, runtime)


async def _with_runtime(seen: Seen, runtime: Callable[[], Runtime]) -> Seen:
    if seen.answers or not seen.server.inside:
        return seen
    return replace(seen, stopped=await kept_stopped(runtime(), seen.server.workload))


def name_of(server: Server | FailoverServer) -> str:
    """The name of the container beside it."""
    plain = server.workload.rpartition("/")[2].lower()
    return f"{plain[:50].rstrip('-.')}-data"


@asynccontextmanager
async def data_folder(
    server: Server,
    runtime: Callable[[], Runtime],
    key: str,
    out: Sink,
    lasts: float = LASTS_SECONDS,
    patience: float = OPEN_SECONDS,
) -> AsyncIterator[DataFolder | None]:
    """Its data folder, of this host or beside its container; None where it cannot be reached, which is told."""
    if server.data is not None:
        yield DataFolder(Here(key), server.data)
        return
    if not server.inside:
        yield None
        return
    stack, done = AsyncExitStack(), False
    try:
        async with stack:
            yield await _inside(
                stack, server, runtime, Beside(name_of(server), key, server.workload, lasts), patience, out
            )
            done = True
    except OpsbookError as error:
        if not done:
            raise
        # What was done beside it is done: whoever comes next removes it, and it ends by itself.
        await out.write(f"the container beside {server.workload} could not be removed: {error.message}\n")


async def _inside(
    stack: AsyncExitStack,
    server: Server,
    runtime: Callable[[], Runtime],
    wanted: Beside,
    patience: float,
    out: Sink,
) -> DataFolder | None:
    try:
        async with asyncio.timeout(patience):
            inside = await stack.enter_async_context(beside(runtime(), wanted, out))
    except (ChangeFailed, Unreachable, Unsupported, TimeoutError) as error:
        why = getattr(error, "message", "") or f"no container beside it within {patience:g} s"
        await out.write(f"the data folder of {server.workload} cannot be reached: {why}\n")
        return None
    return DataFolder(Within(inside, server.workload), PurePosixPath(server.inside))


async def end_beside_both(system: System, runtime: Callable[[], Runtime], component: str, key: str) -> bool:
    """Remove containers beside either server that a change of this key left behind.

    Whatever the addresses of the servers are: a secret that is missing keeps no run from being settled.
    """
    settings, done = system.components.get(component), True
    failover = settings.failover if isinstance(settings, PostgresComponent) else None
    for one in failover.servers if failover else ():
        if one.inside:
            done = await end_beside(runtime(), name_of(one), key) and done
    return done


async def kill(server: Server, runtime: Runtime) -> str:
    """End the server as a crash does; what was killed, in words. Raises Refused where it is not found."""
    from opsbook.connectors.runtimes.compose import Compose

    if isinstance(runtime, Compose):
        running = [one for one in await runtime.containers(server.workload) if one.state.get("Running")]
        if len(running) != 1:
            raise Refused(f"{len(running)} containers of {server.workload} run", "kill it by hand, and fail over")
        await runtime.api.call("kill", running[0].id, signal="SIGKILL")
        return running[0].name
    if not isinstance(runtime, LooksInside):
        raise Refused(f"{server.workload} cannot be killed on this runtime", "kill it by hand, and fail over")
    argv = ["sh", "-c", KILL, "sh", server.inside]
    (seen,) = await runtime.look_inside(server.workload, argv, KILL_SECONDS, instances=None, every=False)
    # The container may end before it has told how the command did.
    if seen.code not in (0, None, 137):
        raise Refused(
            f"the server of {seen.instance} cannot be killed: {seen.said.strip()[:200] or seen.code}",
            "is `inside` its data folder? kill it by hand, and fail over",
        )
    return seen.instance
