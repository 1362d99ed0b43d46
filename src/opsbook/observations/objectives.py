"""What a loss now would cost: how old the data is of the newest that a component could be recovered from."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from opsbook.book.catalogue import Cost
from opsbook.book.units import Dimension
from opsbook.connectors.contract import Connector, Fact
from opsbook.observations.registry import Absent, observation


@observation("objective.rpo", Dimension.DURATION, of="any", cost=Cost.HEAVY, follows=False,
             doc="Age of the data of the newest that the component could be recovered from now: its standby as far as "
             "that has replayed, its log as far as that is archived, its stored backups that are whole.")  # fmt: skip
async def rpo(connector: Connector) -> Fact:
    # Every way of recovery: a book that names this observation is loaded by verbs that never read it.
    from opsbook.connectors.backups.recoverable import recoverable

    now = datetime.now(UTC)
    found = await asyncio.to_thread(lambda: list(recoverable(connector.system, connector.name, now)))
    whole = [one for one in found if one.whole]
    if not whole:
        raise Absent(f"there is nothing that {connector.name} could be recovered from")
    newest = max(whole, key=lambda one: one.data_time)
    detail = {one.name: round((now - one.data_time).total_seconds(), 1) for one in whole}
    return Fact(max(0.0, (now - newest.data_time).total_seconds()), detail, newest.name)
