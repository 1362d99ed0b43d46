"""How often each check was in which state over a time, in two statements however many checks there are."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from opsbook.store.rollups import FIVE_MINUTES, STATES, rolled_until
from opsbook.store.tables import check_results
from opsbook.store.watch_tables import rollups


def totals(connection: Connection, where: Mapping[str, str], begin: float, end: float) -> dict[str, dict[str, int]]:
    """Check → state → how many results: from five-minute figures, and from single results where none are made yet."""
    cut = min(max(rolled_until(connection, where, FIVE_MINUTES) or begin, begin), end)
    found: dict[str, dict[str, int]] = {}
    here = (rollups.c.system == where["system"]) & (rollups.c.environment == where["environment"])
    within = (rollups.c.span == FIVE_MINUTES) & (rollups.c.start >= begin) & (rollups.c.start < cut)
    sums = [func.sum(rollups.c[state]).label(state) for state in STATES]
    for row in connection.execute(select(rollups.c.check_id, *sums).where(here & within).group_by(rollups.c.check_id)):
        found[row.check_id] = {state: int(getattr(row, state) or 0) for state in STATES}
    table = check_results.c
    mine = table.system.in_((where["system"], "")) & (table.environment == where["environment"])
    mine &= (table.at >= cut) & (table.at < end)
    query = select(table.check_id, table.state, func.count()).where(mine).group_by(table.check_id, table.state)
    for check, state, count in connection.execute(query):
        counts = found.setdefault(check, dict.fromkeys(STATES, 0))
        counts[state] = counts.get(state, 0) + int(count)
    return found
