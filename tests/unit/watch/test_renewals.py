"""Certificates are renewed in time: once a day, from the day on which it is due."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from tests.integration.web import issue
from tests.unit.watch.watched import HandClock, a_watch

from opsbook.store.database import reading
from opsbook.store.watch_tables import alerts, due
from opsbook.watch.contract import Watch
from opsbook.watch.renewals import Renewals
from opsbook.watch.scheduled import on_demand


def watching(folder: Path, store: Engine, days: float | None, clock: HandClock) -> Watch:
    """A watch whose certificate began two months ago and has so many days left; None: there is none yet."""
    file = folder / "web.pem"
    if days is not None:
        file.write_bytes(issue("shop.test", None, ("shop.test",), days=days, began=60).pem())
    one = {"id": "web", "names": ["shop.test"], "certificate": f"file:{file}", "key": f"file:{folder}/web.key",
           "webroot": str(folder), "reload": ["api"]}  # fmt: skip
    return a_watch(folder, store, clock, certificates=[one])


def asked(watch: Watch) -> list[str]:
    with reading(watch.setting.store) as connection:
        return [row.key for row in connection.execute(select(due.c.key).where(due.c.state == "due"))]


def told(watch: Watch) -> dict[str, str]:
    with reading(watch.setting.store) as connection:
        rows = connection.execute(select(alerts.c.fingerprint, alerts.c.state).where(alerts.c.open_key.is_not(None)))
        return {row.fingerprint: row.state for row in rows}


@pytest.mark.parametrize(
    ("days", "wanted", "state"),
    [
        (60, [], None),
        (29.5, ["certificate/web"], None),
        (20, ["certificate/web"], "warning"),
        (1, ["certificate/web"], "critical"),
        (-1, ["certificate/web"], "critical"),
        (None, ["certificate/web"], "warning"),
    ],
)
async def test_it_is_asked_for_when_it_is_due_and_told_when_that_does_not_help(
    tmp_path: Path, store: Engine, days: float | None, wanted: list[str], state: str | None
) -> None:
    clock = HandClock(datetime.now(UTC))
    watch = watching(tmp_path, store, days, clock)
    await Renewals(watch).tick(clock.now())
    assert asked(watch) == wanted
    assert told(watch).get("certificate:web") == state


async def test_it_is_asked_for_once_a_day_whoever_asks(tmp_path: Path, store: Engine) -> None:
    clock = HandClock(datetime.now(UTC).replace(hour=1))
    watch = watching(tmp_path, store, 10, clock)
    for _ in range(3):
        await Renewals(watch).tick(clock.move(hours=1))
    assert asked(watch) == ["certificate/web"]


async def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, store: Engine) -> None:
    clock = HandClock(datetime.now(UTC))
    watch = watching(tmp_path, store, 60, clock)
    (tmp_path / "web.pem").write_text("nonsense")
    await Renewals(watch).tick(clock.now())
    assert told(watch) == {"certificate:web": "unknown"}


def test_what_is_asked_for_is_the_procedure_of_the_certificate(tmp_path: Path, store: Engine) -> None:
    watch = watching(tmp_path, store, 60, HandClock())
    found = on_demand(watch.system, "certificate/web")
    assert found is not None
    assert found.procedure == "renew-web"
    assert on_demand(watch.system, "certificate/other") is None
