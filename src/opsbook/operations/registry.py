"""Registering operations. Adding one is one class in the file of its subject.

@operation("postgres.vacuum", Risk.SAFE, of="postgres", idempotent=True, parameters=Vacuum, doc="…")
class _Vacuum:
    async def plan(self, parameters: Vacuum, facts: Facts) -> AsyncIterator[Change]: ...
    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from opsbook.book.catalogue import OperationSpec, Risk
from opsbook.connectors.offered import Offered
from opsbook.operations.contract import Operation, OperationParameters

OPERATIONS: Offered[Operation] = Offered("operations", "opsbook.operations")

C = TypeVar("C", bound=type[Any])


def operation(
    name: str,
    risk: Risk,
    *,
    of: str | tuple[str, ...],
    doc: str,
    idempotent: bool,
    parameters: type[OperationParameters],
    riskier: Mapping[str, Risk] | None = None,
) -> Callable[[C], C]:
    """Registers a class with `plan` and `verify` as the operation of this name, on these component kinds.

    `riskier`: a parameter → the risk of the operation where it is on.
    """
    kinds = (of,) if isinstance(of, str) else of

    def decorate(cls: C) -> C:
        assert not OPERATIONS.has(name), f"two operations are named {name}"
        one = cls()
        one.spec = OperationSpec(name, doc, kinds, risk, idempotent, parameters, riskier or {})
        OPERATIONS.add(name, one)
        return cls

    return decorate


def operations() -> Mapping[str, Operation]:
    """Every operation, by name."""
    return OPERATIONS
