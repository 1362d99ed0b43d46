"""The contracts between what reads and what changes a managed system. Only connectors do I/O to it.

Facts and operations are apart: an observation turns a connector into readings and never changes anything. What changes
a system is in `change.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from opsbook.book.catalogue import Component, ObservationSpec, Parameters
from opsbook.book.system import System
from opsbook.connectors.change import Executor, Json
from opsbook.connectors.offered import Offered
from opsbook.connectors.runtimes.contract import Runtime
from opsbook.errors import OpsbookError, Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.backups.signing import Signer

Value = float | bool | str | None
T = TypeVar("T")


class ReadFailed(OpsbookError):
    """One fact could not be read; the component itself answered."""


class CredentialRefused(ReadFailed):
    """It does not take the credential, and will take it no more: it expired, or somebody revoked it."""


@dataclass(frozen=True)
class Request:
    """One fact that is wanted of a component. `id` is the asker's own."""

    id: str
    observation: ObservationSpec
    parameters: Parameters
    timeout: float = 10.0
    """Seconds after which the answer is of no use."""


class LoginRefused(Unreachable):
    """Somebody answered, and does not let opsbook in with the login that it has."""


REFUSALS = (CredentialRefused, LoginRefused)
"""What ends by itself when a person puts another credential in place."""


class Failure(StrEnum):
    """Why there is no value."""

    UNREACHABLE = "unreachable"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ABSENT = "absent"
    """There is nothing to measure: no traffic, no scheduled run yet."""


@dataclass(frozen=True)
class Reading:
    """A fact with its time, or why it could not be had."""

    id: str
    value: Value
    detail: Json = None
    """Rows and phases behind the value, for people."""
    failure: Failure | None = None
    message: str = ""
    """The original message of a failure, without secrets; or one sentence about the value."""
    credential: bool = False
    """Whether it failed because the credential is not taken."""


@dataclass(frozen=True)
class Fact:
    """What an observation function yields where a bare value does not say enough."""

    value: Value
    detail: Json = None
    message: str = ""


class Connector:
    """Talks to one component. Opened late, shared by every fact of a sweep, closed once.

    A connector's file also defines the component kind (a `Component` subclass with a literal `kind`) and registers
    both with `@connector`.
    """

    kinds: ClassVar[tuple[str, ...]]

    def __init__(self, name: str, component: Component, system: System, connections: Connections) -> None:
        self.name, self.component, self.system, self.connections = name, component, system, connections
        self._shared: dict[Hashable, asyncio.Future[Any]] = {}

    async def close(self) -> None:
        """Give back what was opened. Called once, also after a failed opening."""

    async def once(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question that several facts share, asked once in a sweep (INFO, a page of metrics)."""
        found = self._shared.get(key)
        if found is None:
            found = self._shared[key] = asyncio.ensure_future(ask())
            found.add_done_callback(_looked_at)
        # Shielded: the time-out of one fact must not take the answer from the others.
        return await asyncio.shield(found)

    def forget(self) -> None:
        """Before the next sweep, and before closing: what was shared is old, and what is still asked is given up."""
        for asked in self._shared.values():
            asked.cancel()
        self._shared.clear()


def _looked_at(asked: asyncio.Future[Any]) -> None:
    # Every asker may have been cut before it failed; asyncio would then log an error that nobody can act on.
    if not asked.cancelled():
        asked.exception()


class Connections(Protocol):
    """The open connectors of one system. `opsbook.connectors.registry.open_connections` makes them."""

    system: System
    signer: Signer | None
    """Signs in the name of this opsbook; None where there is no store, so that nothing can be signed."""
    store: str
    """SQLAlchemy's address of opsbook's own store, which may hold a password; empty where there is none."""

    def of(self, component: str) -> Connector:
        """The connector of a component, made at its first use."""
        ...

    @property
    def runtime(self) -> Runtime:
        """Raises Unreachable where the environment has none."""
        ...

    def forget(self) -> None:
        """Let nothing that was read before answer what is asked from now on."""
        ...


class Reader(Protocol):
    """Reads many facts of one component in one go."""

    async def read(self, connector: Connector, batch: Sequence[Request]) -> list[Reading]: ...


@dataclass(frozen=True)
class Observation:
    """A fact that can be read, and the reader that it shares with its kin."""

    spec: ObservationSpec
    reader: Reader


@dataclass
class Registered:
    """What the rooms have registered."""

    connectors: Offered[type[Connector]]
    components: Offered[type[Component]]
    runtimes: Offered[Callable[[System], Runtime]]
    executors: Offered[Callable[[Connections], Executor]]
    holding: list[Callable[[Connections, Sequence[str]], Awaitable[Mapping[str, str]]]] = field(default_factory=list)
    """What tells which of some checks are bad now, each with a sentence: one, which the checks' room hands down."""
