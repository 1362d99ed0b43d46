"""Finds connectors, runtimes and executors in their modules, and opens those that a system needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, get_args

from opsbook.book.catalogue import Component
from opsbook.book.system import System
from opsbook.connectors.change import Executor
from opsbook.connectors.contract import Connections, Connector, Registered
from opsbook.connectors.forwarded import through
from opsbook.connectors.offered import Offered
from opsbook.connectors.runtimes.contract import Runtime
from opsbook.errors import Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.backups.signing import Signer

ROOM = "opsbook.connectors"
REGISTERED = Registered(
    connectors=Offered("connectors", ROOM),
    components=Offered("components", ROOM),
    runtimes=Offered("runtimes", ROOM),
    executors=Offered("executors", ROOM),
)
C = TypeVar("C", bound=type[Connector])


def connector(component: type[Component]) -> Callable[[C], C]:
    """Registers a connector with the component kind it talks to. A connector may serve several kinds: stack it."""
    (kind,) = get_args(component.model_fields["kind"].annotation)

    def register(cls: C) -> C:
        REGISTERED.components.add(kind, component)
        REGISTERED.connectors.add(kind, cls)
        return cls

    return register


def runtime(kind: str) -> Callable[[Callable[[System], Runtime]], Callable[[System], Runtime]]:
    """Registers what makes the runtime of an environment."""

    def register(make: Callable[[System], Runtime]) -> Callable[[System], Runtime]:
        REGISTERED.runtimes.add(kind, make)
        return make

    return register


def executor(kind: str) -> Callable[[Callable[[Connections], Executor]], Callable[[Connections], Executor]]:
    """Registers what applies the changes of a kind."""

    def register(make: Callable[[Connections], Executor]) -> Callable[[Connections], Executor]:
        REGISTERED.executors.add(kind, make)
        return make

    return register


Holds = Callable[[Connections, Sequence[str]], Awaitable[Mapping[str, str]]]


def holding(holds: Holds) -> Holds:
    """Registers what tells which of some checks are bad now, each with a sentence."""
    REGISTERED.holding[:] = [holds]
    return holds


def registered() -> Registered:
    """Everything that the connectors' room offers; a module of it is imported when it is asked for."""
    return REGISTERED


class OpenConnections:
    """The open connectors of one system."""

    def __init__(self, system: System, signer: Signer | None = None, store: str = "") -> None:
        self.system, self.signer, self.store = system, signer, store
        self._open: dict[str, Connector] = {}
        self._runtime: Runtime | None = None

    def of(self, component: str) -> Connector:
        if component not in self._open:
            system, settings = self.system, self.system.components[component]
            if settings.through == "runtime":
                system, settings = through(system, settings, self.runtime)
            self._open[component] = registered().connectors[settings.kind](component, settings, system, self)
        return self._open[component]

    @property
    def runtime(self) -> Runtime:
        if self._runtime is None:
            kind = self.system.environment.runtime.kind
            make = registered().runtimes.get(kind)
            if make is None:
                raise Unreachable(
                    f"the environment {self.system.name!r} has no runtime that opsbook can ask",
                    f"set `runtime` of {self.system.name} in book.yaml: supervisor, compose or kubernetes",
                )
            self._runtime = make(self.system)
        return self._runtime

    def forget(self) -> None:
        """Before the next sweep."""
        for one in self._open.values():
            one.forget()

    async def close(self) -> None:
        self.forget()
        for one in self._open.values():
            await one.close()
        if self._runtime is not None:
            await self._runtime.close()


@asynccontextmanager
async def open_connections(
    system: System, signer: Signer | None = None, store: str = ""
) -> AsyncIterator[OpenConnections]:
    """Connections that are closed whatever happens."""
    connections = OpenConnections(system, signer, store)
    try:
        yield connections
    finally:
        await connections.close()
