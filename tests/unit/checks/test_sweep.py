"""In which order components are asked: what is timed comes when opsbook itself is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from opsbook.book.catalogue import NoParameters
from opsbook.book.units import Dimension
from opsbook.checks import sweep
from opsbook.connectors.contract import Connections, Reading, Request
from opsbook.observations.registry import make_spec

NOWHERE = cast(Connections, SimpleNamespace(of=lambda name: name))


class Slow:
    """A reader that says when it begins and when it is through."""

    def __init__(self, name: str, told: list[str], through: asyncio.Event | None = None) -> None:
        self.name, self.told, self.through = name, told, through

    async def read(self, connector: Any, batch: Sequence[Request]) -> list[Reading]:
        self.told.append(f"{self.name} begins")
        if self.through is not None:
            await self.through.wait()
        await asyncio.sleep(0)
        self.told.append(f"{self.name} ends")
        return [Reading(one.id, 1.0) for one in batch]


def batch(reader: Slow, *, quiet: bool = False) -> sweep._Batch:
    spec = replace(make_spec(f"x.{reader.name}", Dimension.COUNT, "x", "X."), quiet=quiet)
    return sweep._Batch(cast(Any, reader), "x", [Request(reader.name, spec, NoParameters(), 5.0)])


async def test_it_takes_times_after_everything_else_is_read() -> None:
    told: list[str] = []
    batches = [batch(Slow("latency", told), quiet=True), batch(Slow("rows", told)), batch(Slow("keys", told))]
    found = await sweep._read_all(batches, NOWHERE)
    assert told == ["rows begins", "keys begins", "rows ends", "keys ends", "latency begins", "latency ends"]
    assert set(found) == {"latency", "rows", "keys"}


async def test_a_component_that_hangs_keeps_no_time_from_being_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "QUIET_WITHIN", 0.01)
    told: list[str] = []
    taken = asyncio.Event()

    class Timing(Slow):
        async def read(self, connector: Any, batch: Sequence[Request]) -> list[Reading]:
            found = await super().read(connector, batch)
            taken.set()
            return found

    await sweep._read_all([batch(Slow("rows", told, taken)), batch(Timing("latency", told), quiet=True)], NOWHERE)
    assert told == ["rows begins", "latency begins", "latency ends", "rows ends"]
