"""opsbook's own figures, as Prometheus reads them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine
from tests.unit.watch.watched import START, HandClock, a_signal, a_watch

from opsbook.book.recovery import Backup
from opsbook.store import history
from opsbook.store.database import writing
from opsbook.store.history import Point
from opsbook.watch.alerts import take_in
from opsbook.watch.backup_ages import Age, BackupAges
from opsbook.watch.checking import Checking
from opsbook.watch.contract import Standing
from opsbook.watch.selfmetrics import metrics_text

UP = {"id": "up", "observe": "http.up", "of": "api"}


def test_it_tells_checks_alerts_parts_and_backups(store: Engine, tmp_path: Path) -> None:
    watch = a_watch(tmp_path, store, HandClock(), checks=[UP], objectives={"database": {"rto": "1h"}})
    with writing(store) as connection:
        history.add(connection, "shop", "production", [Point("up", START.timestamp(), "critical", 0.0, "down")])
        take_in(connection, watch.system, [a_signal("critical", START, "check:up")], START, _nobody)
    watch.standings['a "part"'] = Standing('a "part"', ticks=3, lag=0.5)
    ages, checking = BackupAges(watch), Checking(watch)
    backup = Backup.model_validate({"id": "nightly", "of": "database"})
    ages.ages = [Age(backup, timedelta(days=1), timedelta(hours=2)), Age(backup, timedelta(days=1), None)]
    checking.slow = {"api": 4}
    found = {
        (sample.name, sample.labels.get("check") or sample.labels.get("phase") or sample.labels.get("part", "")): sample
        for family in text_string_to_metric_families(metrics_text(watch, [ages, checking]))
        for sample in family.samples
    }
    assert found["opsbook_check_state", "up"].value == 2
    assert found["opsbook_check_state", "up"].labels["component"] == "api"
    assert found["opsbook_alerts", "firing"].value == 1
    assert found["opsbook_part_ticks_total", 'a "part"'].value == 3
    assert found["opsbook_backup_age_seconds", ""].value == 7200
    assert found["opsbook_component_asked_less_often", ""].value == 4
    assert found["opsbook_objective_promised_seconds", ""].value == 3600
    assert {sample.labels["system"] for sample in found.values()} == {"shop"}


def _nobody(*_: object) -> None: ...


@pytest.mark.parametrize(
    ("age", "problem", "state"),
    [
        (timedelta(hours=5), "", "ok"),
        (timedelta(hours=26), "", "critical"),
        (None, "", "critical"),
        (None, "it does not answer", "unknown"),
    ],
)
async def test_the_newest_backup_may_be_so_old_and_one_must_be_there_in_time(
    store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: timedelta | None, problem: str, state: str
) -> None:
    clock = HandClock()
    backups = [{"id": "nightly", "of": "database", "to": "/none", "max_age": "25h"}]
    watch = a_watch(tmp_path, store, clock, backups=backups)
    (backup,) = watch.system.model.backups
    told: list[str] = []

    async def tell(_: object, signals: list[object]) -> None:
        told.extend(signal.state for signal in signals)  # type: ignore[attr-defined]

    monkeypatch.setattr("opsbook.watch.backup_ages.tell", tell)
    monkeypatch.setattr("opsbook.watch.backup_ages.ages", lambda *_: [Age(backup, timedelta(hours=25), age, problem)])
    part = BackupAges(watch)
    await part.tick(clock.now())
    await part.tick(clock.move(hours=26))
    assert told[-1] == state
    assert age is not None or problem or told[0] == "ok"
