"""Waits until a component serves: a change that changes nothing, and holds a run until what it did has taken effect."""

from __future__ import annotations

import asyncio
import time

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError

LOOK_SECONDS = 0.25
IN_A_ROW = 2
"""One good answer may come from the instance that is about to go."""


@executor("wait")
class Wait:
    """`{"component", "healthy": true, "within": seconds}`."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        effect = change.effect
        connector = self.connections.of(effect["component"])
        assert isinstance(connector, HttpConnector), "planned for an http component"
        started, good, said = time.monotonic(), 0, "it was not asked"
        while time.monotonic() - started < effect["within"]:
            try:
                answer = await connector.client.get(connector.component.health)
                good, said = (good + 1, answer.words) if 200 <= answer.status < 300 else (0, answer.words)
            except OpsbookError as error:
                good, said = 0, error.message
            if good >= IN_A_ROW:
                return Done({"seconds": round(time.monotonic() - started, 2), "answer": said})
            await asyncio.sleep(LOOK_SECONDS)
        raise ChangeFailed(
            f"{effect['component']} is not healthy after {effect['within']:g} s: {said}",
            f"see its logs; `opsbook check --component {effect['component']}`",
        )

    async def end(self, key: str, change: Change) -> bool:
        return True
