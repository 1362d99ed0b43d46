"""The contract of operations: facts and typed parameters in, changes out, and a verdict afterwards from facts alone.

An operation is planned as the *desired state* (or the predicate and its ceiling), not as the difference to what is
there now: the difference is evidence. So a plan stays true while the facts that do not matter to it move, and applying
it twice does it once. What must not have moved goes into the guard.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, Field

from opsbook.book.catalogue import OperationSpec, Parameters
from opsbook.book.system import System
from opsbook.book.values import Name
from opsbook.clock import Clock
from opsbook.connectors.change import Change, Json
from opsbook.connectors.contract import Connector, Fact, Value
from opsbook.connectors.runtimes.contract import Runtime

Verdict = Literal["done", "not_done", "unknown"]

MAY_HOLD_SECRETS: dict[str, Json] = {"secrets": True}
"""`json_schema_extra` of a parameter that may be, or have in it, a `SecretReference`: whoever plans with it hands the
reference on (`executors.secrets.told_apart`), and the executor takes the value. Every other parameter refuses one.
"""


class OperationParameters(Parameters):
    """Every operation says what it changes."""

    # A text is what was given, to its last newline: it is the content of a file, the name of a role, a pattern of keys.
    model_config = ConfigDict(str_strip_whitespace=False)

    of: Name = Field(description="the component that is changed")


class Facts(Protocol):
    """What an operation may look at while it plans and verifies. Reads only, and records what was read."""

    system: System
    clock: Clock

    def connector(self, component: str) -> Connector:
        """The connector of a component, for its reading methods."""
        ...

    @property
    def runtime(self) -> Runtime: ...

    async def observe(self, observation: str, component: str, **parameters: Any) -> Fact:
        """A registered observation. Raises Unreachable or ReadFailed."""
        ...

    async def rows(
        self, component: str, statement: str, parameters: dict[str, Any] | None = None
    ) -> list[dict[str, Value]]:
        """Rows of a read-only statement of PostgreSQL, with bound `%(name)s` parameters."""
        ...

    def record(self, name: str, value: Json) -> None:
        """Note a fact that was read in another way."""
        ...


class Operation(Protocol):
    """A named change. Registered by `@operation`; it has no apply: the executor of each change has."""

    spec: OperationSpec

    def plan(self, parameters: Any, facts: Facts) -> AsyncIterator[Change]:
        """The changes, in order. Raises Refused with the reason where it must not be done at all."""
        ...

    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        """Whether a change of this operation has happened, judged by facts. Called when its outcome is not known."""
        ...


class Repeatable:
    """What idempotent operations share: their outcome need not be known, because doing them again is always right."""

    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        return "unknown"
