"""Registering observations. Adding one is one function (or one SQL expression) in the file of its subject.

    @observation("redis.clients", Dimension.COUNT, of="redis", doc="Connected clients.")
    async def clients(redis: RedisConnector) -> float: ...

A function takes the connector, and its parameters where it declares a parameters model. It returns a value or a `Fact`
(value, rows behind it, a sentence). It raises `Unreachable` where the component does not answer and `ReadFailed` where
this fact cannot be had, each with the original message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from opsbook.book.catalogue import Cost, NoParameters, ObservationSpec, Parameters
from opsbook.book.threshold import Threshold
from opsbook.book.units import Dimension
from opsbook.connectors.contract import (
    REFUSALS,
    Connector,
    Fact,
    Failure,
    Observation,
    Reader,
    Reading,
    Request,
    Value,
)
from opsbook.connectors.offered import Offered
from opsbook.errors import OpsbookError, Unreachable

OBSERVATIONS: Offered[Observation] = Offered("observations", "opsbook.observations")

Function = TypeVar("Function", bound=Callable[..., Awaitable[Fact | Value]])


class Absent(OpsbookError):
    """There is nothing to measure yet; the message says what is missing."""


@dataclass(frozen=True)
class FunctionReader:
    """Calls one function per request, all at once; what they share they ask through `Connector.once`."""

    function: Callable[..., Awaitable[Fact | Value]]
    takes_parameters: bool

    async def read(self, connector: Connector, batch: Sequence[Request]) -> list[Reading]:
        return list(await asyncio.gather(*(self._one(connector, request) for request in batch)))

    async def _one(self, connector: Connector, request: Request) -> Reading:
        try:
            call = self.function(connector, request.parameters) if self.takes_parameters else self.function(connector)
            return reading(request, await asyncio.wait_for(call, request.timeout))
        except TimeoutError:
            return timed_out(request)
        except OpsbookError as error:
            return failed(request, error)


def reading(request: Request, found: Fact | Value) -> Reading:
    """A reading of what a function yielded."""
    fact = found if isinstance(found, Fact) else Fact(found)
    return Reading(request.id, fact.value, fact.detail, message=fact.message)


def failed(request: Request, error: OpsbookError) -> Reading:
    """A reading that says why there is no value."""
    kind = Failure.FAILED
    if isinstance(error, Unreachable):
        kind = Failure.UNREACHABLE
    elif isinstance(error, Absent):
        kind = Failure.ABSENT
    refused = isinstance(error, REFUSALS)
    return Reading(request.id, None, failure=kind, message=error.message, credential=refused)


def timed_out(request: Request) -> Reading:
    """A reading that was cut."""
    return Reading(request.id, None, failure=Failure.TIMEOUT, message=f"no answer within {request.timeout:g} s")


def register(spec: ObservationSpec, reader: Reader) -> None:
    """Adds an observation; its name must be new."""
    assert not OBSERVATIONS.has(spec.name), f"two observations are named {spec.name}"
    OBSERVATIONS.add(spec.name, Observation(spec, reader))


def observation(
    name: str,
    dimension: Dimension,
    *,
    of: str | tuple[str, ...],
    doc: str,
    parameters: type[Parameters] = NoParameters,
    cost: Cost = Cost.CHEAP,
    warning: str = "",
    critical: str = "",
    vital: bool = False,
    follows: bool = True,
) -> Callable[[Function], Function]:
    """Registers a function as an observation of these component kinds (`workload` and `any` are wildcards)."""

    def decorate(function: Function) -> Function:
        register(make_spec(name, dimension, of, doc, parameters, cost, warning, critical, vital, follows),
                 FunctionReader(function, parameters is not NoParameters))  # fmt: skip
        return function

    return decorate


def make_spec(
    name: str,
    dimension: Dimension,
    of: str | tuple[str, ...],
    doc: str,
    parameters: type[Parameters] = NoParameters,
    cost: Cost = Cost.CHEAP,
    warning: str = "",
    critical: str = "",
    vital: bool = False,
    follows: bool = True,
) -> ObservationSpec:
    """A spec from the words that a registration uses."""
    kinds = (of,) if isinstance(of, str) else of

    def limit(text: str) -> Threshold | None:
        return Threshold.parse(text) if text else None

    return ObservationSpec(
        name, doc, dimension, kinds, parameters, cost, limit(warning), limit(critical), follows=follows, vital=vital
    )


def observations() -> Mapping[str, Observation]:
    """Every observation, by name."""
    return OBSERVATIONS


def read_parameters(spec: ObservationSpec, written: dict[str, Any]) -> Parameters:
    """The typed parameters of a check; the book has been validated against them already."""
    return spec.parameters.model_validate(written)
