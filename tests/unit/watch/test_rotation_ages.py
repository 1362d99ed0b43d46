"""When a credential is due to be renewed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from tests.unit.watch.watched import START, HandClock, a_watch

from opsbook.book.planned import Rotation
from opsbook.store.database import reading
from opsbook.store.watch_tables import alerts
from opsbook.watch.rotation_ages import RotationAges, judge

ROTATION = {"id": "app", "of": "database", "every": "90d", "warn_before": "14d"}


@pytest.mark.parametrize(("days", "state"), [(1, "ok"), (75, "ok"), (77, "warning"), (91, "critical"), (-1, "ok")])
def test_it_is_told_before_it_is_too_old(days: int, state: str) -> None:
    rotation = Rotation.model_validate(ROTATION)
    found, sentence = judge(rotation, START, True, START + timedelta(days=days))
    assert found == state
    assert "may be 90 d old" in sentence


async def test_one_that_was_never_renewed_counts_from_when_it_was_seen(store: Engine, tmp_path: Path) -> None:
    clock = HandClock()
    watch = a_watch(tmp_path, store, clock, rotations=[ROTATION])
    await RotationAges(watch).tick(clock.now())
    await RotationAges(watch).tick(clock.move(days=80))
    with reading(store) as connection:
        rows = list(connection.execute(select(alerts.c.fingerprint, alerts.c.state)))
    assert rows == [("rotation:app", "warning")]
