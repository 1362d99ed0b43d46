"""When an update of an incident is asked for."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine
from tests.unit.watch.on_call import Desk


def test_an_update_is_asked_for_in_business_hours_only(tmp_path: Path, store: Engine) -> None:
    severities = {"P3": {"update_every": "1h", "business_hours": {"start": "09:00", "end": "17:00"}}}
    desk = Desk(tmp_path, store, severities=severities, incidents={})
    desk.clock.at = desk.now.replace(hour=15, minute=30)
    desk.bad()
    asked: list[tuple[int, int, int]] = []
    following: datetime | None = None
    for _ in range(4 * 24):
        before = len(desk.lines("reminder"))
        following = desk.later(minutes=15)
        if len(desk.lines("reminder")) > before:
            asked.append((desk.now.day, desk.now.hour, desk.now.minute))
    first, morning = (5, 16, 30), [(6, hour, 30) for hour in range(9, 16)]
    assert asked == [first, *morning]
    assert following is not None and following <= desk.now.replace(hour=16, minute=30)
