"""What the logs of a workload tell: errors by type, and whether logs come at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pydantic import Field

from opsbook.book.catalogue import Cost
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.connectors.contract import Connector, Fact
from opsbook.connectors.log_lines import fault_type
from opsbook.connectors.runtimes.contract import LogLine, LogQuery
from opsbook.connectors.workload import workload_name
from opsbook.observations.registry import Absent, observation
from opsbook.observations.workload import WORKLOAD, WithinParameters

EXAMPLES = 5
LONGEST_EXAMPLE = 300


class ErrorParameters(WithinParameters):
    """Which errors."""

    within: Duration = Field(timedelta(minutes=15), description="how far back")
    type: str = Field("", description="only errors of this type, such as OperationalError, ERROR or HTTP 502")


def errors(lines: Iterable[str], only: str = "") -> Fact:
    """The number of lines that tell a fault; the detail has them by type, and the last few."""
    counts: Counter[str] = Counter()
    examples: list[str] = []
    for line in lines:
        kind = fault_type(line)
        if kind and (not only or kind == only):
            counts[kind] += 1
            examples.append(line[:LONGEST_EXAMPLE])
    by_type = dict(counts.most_common())
    message = ", ".join(f"{kind} {count}×" for kind, count in counts.most_common(5))
    return Fact(float(counts.total()), {"by_type": by_type, "last": examples[-EXAMPLES:]}, message)


def of_lines(lines: Iterable[LogLine], only: str = "") -> Fact:
    """The errors in what instances wrote, and whose lines could not be had: those may tell more."""
    there = list(lines)
    fact = errors([line.text for line in there if not line.missing], only)
    missing = [line.instance for line in there if line.missing]
    if not missing:
        return fact
    words = f"without the lines of {', '.join(missing)}, which cannot be had"
    return Fact(fact.value, {**fact.detail, "missing": missing}, f"{fact.message}, {words}" if fact.message else words)


@observation(
    "workload.log_errors",
    Dimension.COUNT,
    of=WORKLOAD,
    parameters=ErrorParameters,
    cost=Cost.MODERATE,
    warning="> 0",
    doc="Lines of its logs that tell an error, within a time. The detail has them by type: exception, 5xx, or level.",
)
async def log_errors(connector: Connector, said: ErrorParameters) -> Fact:
    query = LogQuery(tail=None, since=datetime.now(UTC) - said.within)
    runtime = connector.connections.runtime
    return of_lines([line async for line in runtime.logs(await workload_name(connector), query)], said.type)


@observation(
    "workload.log_age",
    Dimension.DURATION,
    of=WORKLOAD,
    cost=Cost.MODERATE,
    doc="The age of the newest line of its logs: whether its logs are still collected.",
)
async def log_age(connector: Connector) -> Fact:
    newest = None
    async for line in connector.connections.runtime.logs(await workload_name(connector), LogQuery(tail=50)):
        newest = max(filter(None, (newest, line.at)), default=None)
    if newest is None:
        raise Absent(f"no line of the logs of {await workload_name(connector)} carries a time")
    age = (datetime.now(UTC) - newest).total_seconds()
    return Fact(max(0.0, age), message=f"the last at {newest.isoformat(timespec='seconds')}")
