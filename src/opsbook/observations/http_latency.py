"""How long a service takes to answer, over several probes, and where that time goes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import astuple, replace

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension, show_duration
from opsbook.connectors.contract import Connector, Fact, Failure, ReadFailed, Reading, Request
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.http_probe import Probe, Probing
from opsbook.errors import OpsbookError, Unreachable
from opsbook.observations.http_service import HTTP
from opsbook.observations.registry import failed, make_spec, reading, register

RANKS = {"http.latency_p50": 0.50, "http.latency_p95": 0.95, "http.latency_p99": 0.99}
SHARE_OF_TIMEOUT = 0.9
"""Probing ends before the check would be cut, so that a slow service yields its slowness and not only a time-out."""
PHASES = ("dns", "connect", "tls", "first_byte")


class LatencyParameters(Parameters):
    """How to probe."""

    path: str = Field("", description="path that is asked for; the component's `health` where left out")
    probes: int = Field(20, ge=1, le=1000, description="how many requests are timed")
    concurrency: int = Field(2, ge=1, le=16, description="how many run at once; low, or the probes measure themselves")
    connect: bool = Field(
        True, description="open a connection for each probe, as a new client does; false: reuse one, as a pool does"
    )


class NothingInTime(ReadFailed):
    """Every probe was cut."""


class LatencyReader:
    """Probes once for all percentiles of the same probing."""

    async def read(self, connector: Connector, batch: Sequence[Request]) -> list[Reading]:
        assert isinstance(connector, HttpConnector)
        return list(await asyncio.gather(*(self._one(connector, request) for request in batch)))

    async def _one(self, http: HttpConnector, request: Request) -> Reading:
        wanted = request.parameters
        assert isinstance(wanted, LatencyParameters)
        probing = Probing(wanted.path or http.component.health, wanted.probes, wanted.concurrency, wanted.connect)
        try:
            probes = await http.probe(probing, request.timeout * SHARE_OF_TIMEOUT)
            return reading(request, percentile(probes, RANKS[request.observation.name]))
        except NothingInTime as error:
            return Reading(request.id, None, failure=Failure.TIMEOUT, message=error.message)
        except OpsbookError as error:
            return failed(request, error)


def percentile(probes: Sequence[Probe], rank: float) -> Fact:
    """The nearest-rank percentile: the smallest time that at least this share of the probes did not exceed.

    A probe that failed ranks as slower than every other one; one that was cut counts with the time that it had, which
    its real time is at least. Raises Unreachable or ReadFailed where the percentile falls on a failed probe.
    """
    served = [probe for probe in probes if probe.served]
    cut = [probe for probe in probes if probe.phases is None and not probe.failure]
    lost = len(probes) - len(served) - len(cut)
    if not served and not lost:
        raise NothingInTime(f"nothing answered within {show_duration(max((p.seconds for p in cut), default=0.0))}")
    ranked = sorted([*served, *cut], key=lambda probe: probe.seconds)
    place = math.ceil(rank * len(probes)) - 1
    if place >= len(ranked):
        reasons = sorted({probe.failure or f"status {probe.status}" for probe in probes if not probe.served})
        kind = ReadFailed if served else Unreachable
        raise kind(f"{lost} of {len(probes)} probes failed: {'; '.join(r for r in reasons if r != 'status 0')}")
    at = ranked[place]
    message = f"over {len(probes)} probes"
    if at.phases is None:
        message = f"at least; {len(cut)} of {len(probes)} probes did not end in time"
    elif lost or cut:
        message += f", of which {lost} failed and {len(cut)} did not end in time"
    return Fact(at.seconds, _detail(served, lost, len(cut)), message)


def _detail(served: Sequence[Probe], lost: int, cut: int) -> dict[str, object]:
    times = sorted(probe.seconds for probe in served)
    phases = [astuple(probe.phases) for probe in served if probe.phases is not None]
    medians = {name: sorted(values)[len(values) // 2] for name, values in zip(PHASES, zip(*phases, strict=True),
               strict=True)} if phases else {}  # fmt: skip
    return {
        "probes": len(served) + lost + cut,
        "failed": lost,
        "cut": cut,
        "fastest": times[0] if times else None,
        "slowest": times[-1] if times else None,
        "phases": medians,
    }


READER = LatencyReader()

for _name, _rank in RANKS.items():
    _spec = make_spec(
        _name,
        Dimension.DURATION,
        HTTP,
        f"The time below which {_rank:.0%} of the probes were answered in full, connecting included. The detail has"
        " the medians of the phases: name lookup, connecting, TLS, first byte.",
        LatencyParameters,
        Cost.MODERATE,
    )
    register(replace(_spec, quiet=True), READER)
