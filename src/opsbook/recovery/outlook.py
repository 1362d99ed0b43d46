"""When a promised recovery time will be missed at this growth: sizes of the backups, seconds of the drills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from opsbook.book.recovery import Objective
from opsbook.book.units import Dimension, show
from opsbook.connectors.backups.catalogue import StoredBackup
from opsbook.recovery.forecast import MEASUREMENTS, SPAN, Forecast, forecast
from opsbook.recovery.objectives import clock, duration
from opsbook.store.drills import DrillRow

WHOLE = ("dump", "files", "rdb")
"""Methods whose size tells that of all the component."""


def outlook(objective: Objective, rows: Iterable[DrillRow], stored: Sequence[StoredBackup]) -> Forecast | None:
    """Of one objective, from its drills and the stored backups of its component. None where they do not tell."""
    if objective.rto is None:
        return None
    sizes = [(one.manifest.data_time, float(one.manifest.plain)) for one in stored if one.manifest.method in WHOLE]
    recoveries = [(float(row.bytes), row.rto_seconds) for row in rows if row.good and row.bytes and row.rto_seconds]
    return forecast(sizes, recoveries, objective.rto)


def sentence(found: Forecast | None, objective: Objective, now: datetime) -> str:
    """The forecast for people."""
    if objective.rto is None:
        return ""
    if found is None:
        return (
            f"no forecast yet: it takes a good drill and {MEASUREMENTS} backups over {SPAN.days} days to see the growth"
        )
    grows = f"grows by {show(found.growth, Dimension.SIZE)} a day" if found.growth > 0 else "does not grow"
    so = f"{grows}; its recovery would take {duration(found.seconds_now)} now"
    promise = clock(objective.rto.total_seconds())
    if found.missed_at is None:
        return f"{so}, and the promise of {promise} holds for five years and more"
    if found.missed_at <= now:
        return f"{so}, which misses the promise of {promise}"
    left = duration((found.missed_at - now).total_seconds())
    return f"{so}, and misses the promise of {promise} on {found.missed_at.astimezone(UTC):%Y-%m-%d}, in {left}"
