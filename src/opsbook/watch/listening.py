"""The part that notices when a silence begins or ends over an alert, and when a check is no longer in the book."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from sqlalchemy import Connection

from opsbook.store.alerts import count_by_phase
from opsbook.store.database import reading
from opsbook.store.silences import Silence, not_over
from opsbook.watch.alerts import reconsider
from opsbook.watch.contract import Turn, Watch
from opsbook.watch.deciding import respond_with
from opsbook.watch.registry import part
from opsbook.watch.waking import TELLING, wake

RHYTHM = timedelta(seconds=15)


@part
class Listening:
    """Goes through the open alerts again, where there are any."""

    name = "silences over alerts"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def tick(self, now: datetime) -> datetime:
        silences = await asyncio.to_thread(self._look, now)
        if silences is None:
            return now + RHYTHM
        turned: list[Turn] = []

        def decide(connection: Connection) -> None:
            turned.extend(reconsider(connection, self.watch.system, now, respond_with()))

        await self.watch.setting.in_writer(lambda: self.watch.setting.write([decide]))
        if turned:
            wake(*TELLING)
        edges = [at - now.timestamp() for one in silences for at in (one.start, one.end)]
        nearest = min((left for left in edges if left > 0), default=RHYTHM.total_seconds())
        return now + min(timedelta(seconds=nearest), RHYTHM)

    def _look(self, now: datetime) -> list[Silence] | None:
        """The silences of now and later; None where no alert is open."""
        with reading(self.watch.setting.store) as connection:
            if not count_by_phase(connection, self.watch.where):
                return None
            return not_over(connection, self.watch.where, now.timestamp())
