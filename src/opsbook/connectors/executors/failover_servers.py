"""What every act on the two servers of a database needs: who they are, their runtime, their data folders."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress

from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed, More, Sink
from opsbook.connectors.contract import Connections, CredentialRefused, ReadFailed
from opsbook.connectors.postgres_containers import (
    LASTS_SECONDS,
    OPEN_SECONDS,
    data_folder,
    kept_stopped,
    left,
    look_at_both,
)
from opsbook.connectors.postgres_folder import DataFolder
from opsbook.connectors.postgres_pair import NoAnswer, Seen, Server, pair
from opsbook.connectors.registry import registered
from opsbook.connectors.runtimes import compose_make, kubernetes_wait, supervisor_executor
from opsbook.connectors.runtimes.contract import Runtime, Status, Verb
from opsbook.errors import Ambiguous, Refused

LOOK_SECONDS = 0.1
STOP_SECONDS = 60.0
STOP_AGAIN_SECONDS = 2.0
NOT_READY = (supervisor_executor.NotReady, compose_make.NotReady, kubernetes_wait.NotReady)


@contextmanager
def in_the_middle(what: str) -> Iterator[None]:
    """Whatever fails within leaves something behind: errors by which a run takes it for certain that nothing happened
    become Ambiguous, with what there may be by now.
    """
    try:
        yield
    except CredentialRefused:
        raise  # a run waits for another credential, and does nothing else meanwhile
    except (ChangeFailed, ReadFailed, Refused) as error:
        raise Ambiguous(f"{error.message}; {what}", error.hint) from error


class Servers:
    """The pair of one component, for one change."""

    def __init__(self, connections: Connections, component: str, key: str, out: Sink) -> None:
        self.connections, self.system, self.out = connections, connections.system, out
        self.component, self.key = component, key

    @property
    def reaching(self) -> System:
        """The system in which addresses lead to the servers, also to those inside a cluster."""
        return self.connections.of(self.component).system

    def runtime(self) -> Runtime:
        return self.connections.runtime

    async def servers(self) -> tuple[Server, Server]:
        return await asyncio.to_thread(pair, self.reaching, self.component)

    async def look(self) -> tuple[Seen, Seen]:
        return await look_at_both(self.reaching, self.runtime, self.component)

    def folder(
        self, server: Server, lasts: float = LASTS_SECONDS, patience: float = OPEN_SECONDS
    ) -> AbstractAsyncContextManager[DataFolder | None]:
        """The data folder of a server; None where it cannot be reached within the patience."""
        return data_folder(server, self.runtime, self.key, self.out, lasts, patience)

    async def named(self, workload: str) -> tuple[Server, Server]:
        """The server of this workload, and the other. Raises Refused."""
        first, second = await self.servers()
        for one, other in ((first, second), (second, first)):
            if one.workload == workload:
                return one, other
        raise Refused(f"{workload} is no server of {self.component} any more", "plan anew")

    async def tell_runtime(self, workload: str, verb: Verb, wait: float = STOP_SECONDS) -> None:
        """Start or stop a workload, on whatever runtime. Raises what the runtime raises."""
        change = await self.connections.runtime.change(workload, verb, {"wait": wait})
        executor, cursor = registered().executors[change.kind](self.connections), None
        while isinstance(said := await executor.apply(self.key, change, cursor, self.out), More):
            cursor = said.cursor

    async def stop(self, old: Server) -> None:
        """Stop it until it stays stopped: a runtime may be about to start it anew after a crash."""
        deadline, quiet = time.monotonic() + STOP_SECONDS, 0
        while quiet < 2:
            # Started anew between two looks, it would be waited for in vain: the loop stops it again.
            with suppress(*NOT_READY):
                await self.tell_runtime(old.workload, Verb.STOP, STOP_AGAIN_SECONDS)
            status = await self.runtime().status(old.workload)
            running = await self.running(old, status)
            if not running:
                # STOPPED is final; any other word may be the moment before a restart.
                quiet += 2 if all(one.state == "STOPPED" for one in status.instances) else 1
            elif time.monotonic() > deadline:
                raise ChangeFailed(
                    f"{old.workload} does not end, what is left of it: {running}", "end that; then resume"
                )
            else:
                quiet = 0
            if quiet < 2:
                await asyncio.sleep(0.5 if quiet else LOOK_SECONDS)

    async def running(self, old: Server, status: Status) -> str:
        """What is left of a server, in words; empty where nothing is."""
        if old.inside:
            found = left(status)
        else:
            found = [str(one) for one in await asyncio.to_thread(old.processes)]
            found += [one.name for one in status.instances if one.pid or one.ready]
        if not found and await asyncio.to_thread(old.accepts):
            found = [f"{old.address} accepts connections"]
        return ", ".join(found)

    async def kept_stopped(self, server: Server) -> bool:
        """Whether nothing of it runs, and its runtime starts nothing by itself."""
        if not await kept_stopped(self.runtime(), server.workload):
            return False
        # EXITED is of a process of this host that supervisor may be about to start anew.
        status = await self.runtime().status(server.workload)
        return not await self.running(server, status) and all(one.state != "EXITED" for one in status.instances)

    async def until(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Raises ChangeFailed with `otherwise` where that does not come true."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if await asyncio.to_thread(condition):
                    return
            except NoAnswer as error:
                otherwise = f"{otherwise.partition(' (')[0]} ({error.message})"
            if time.monotonic() > deadline:
                raise ChangeFailed(otherwise, "see the log of the server")
            await asyncio.sleep(LOOK_SECONDS)
