"""What is due by schedule, and that it begins once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, insert, select, update
from tests.unit.watch.watched import START, HandClock, a_system, a_watch

from opsbook.book.recovery import Backup
from opsbook.checks.evaluate import State
from opsbook.engine.service import Service, Wish
from opsbook.errors import Refused, Unreachable
from opsbook.store import due as store_of_due
from opsbook.store.database import reading, writing
from opsbook.store.due import Due
from opsbook.store.tables import runs
from opsbook.store.watch_tables import alerts, due
from opsbook.watch.contract import Watch
from opsbook.watch.scheduled import Item, items, newly_due, oldest_good
from opsbook.watch.schedules import Schedules, run_id

NIGHTLY = Item("backup", "nightly", "backup-nightly", "0 3 * * *", "UTC")
BACKUPS = [
    {"id": "nightly", "of": "database", "to": "/tmp/none", "schedule": "0 3 * * *", "keep": {"last": 2}},
    {"id": "elsewhere", "of": "database", "to": "/tmp/none", "schedule": "0 3 * * *", "environments": ["other"]},
]
ENVIRONMENTS = {"production": {"policy": "open"}, "other": {"policy": "open"}}


def states(watch: Watch) -> list[tuple[str, str]]:
    with reading(watch.setting.store) as connection:
        rows = connection.execute(select(due.c.key, due.c.state).order_by(due.c.at, due.c.key))
        return [(row.key, row.state) for row in rows]


def bad(watch: Watch) -> dict[str, str]:
    with reading(watch.setting.store) as connection:
        rows = connection.execute(select(alerts.c.fingerprint, alerts.c.state).where(alerts.c.open_key.is_not(None)))
        return {row.fingerprint: row.state for row in rows}


class Submitted:
    """Stands in for the engine: what is submitted is a row, as it would be."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.asked = watch, list[str]()
        self.error: Exception | None = None

    async def plan(self, procedure: str) -> str:
        if self.error:
            raise self.error
        return procedure

    def submit(self, plan: str, wish: Wish) -> SimpleNamespace:
        self.asked.append(wish.run)
        names = ("book", "book_revision", "title", "risk", "compiled", "parameters", "plan", "digest", "likeness")
        row = {**dict.fromkeys(names, ""), "id": wish.run, **self.watch.where, "procedure": plan, "state": "submitted"}
        with writing(self.watch.setting.store) as connection:
            connection.execute(insert(runs).values({**row, "requester": "opsbook", "origin": "", "requested_at": 0}))
        return SimpleNamespace(id=wish.run)

    def end(self, state: str) -> None:
        with writing(self.watch.setting.store) as connection:
            connection.execute(update(runs).values(state=state, ended_at=1.0))


@pytest.fixture
def watch(store: Engine, tmp_path: Path) -> Watch:
    return a_watch(tmp_path, store, HandClock(START - timedelta(hours=1)), backups=BACKUPS, environments=ENVIRONMENTS,
                   default_environment="production")  # fmt: skip


@pytest.fixture
def engine(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> Submitted:
    found = Submitted(watch)
    monkeypatch.setattr(Service, "procedure", lambda _, name: name)
    monkeypatch.setattr(Service, "plan", lambda _, procedure: found.plan(procedure))
    monkeypatch.setattr(Service, "submit", lambda _, plan, wish: found.submit(plan, wish))
    return found


def test_of_what_was_missed_the_newest_is_made_up_for_and_the_rest_noted() -> None:
    found = newly_due(NIGHTLY, Due("backup/nightly", START.timestamp(), "done"), "", START + timedelta(days=3, hours=5))
    assert [one.state for one in found] == ["missed", "missed", "due"]
    assert found[-1].at == (START + timedelta(days=3)).timestamp()


def test_nothing_begins_beside_one_that_has_not_ended() -> None:
    last = Due("backup/nightly", START.timestamp(), "running", run="r1")
    (found,) = newly_due(NIGHTLY, last, "r1", START + timedelta(days=1))
    assert (found.state, found.note) == ("skipped", "run r1 of the time before has not ended")


def test_a_book_schedules_what_belongs_to_its_environment(tmp_path: Path) -> None:
    system = a_system(
        tmp_path / "b", backups=BACKUPS, environments=ENVIRONMENTS, default_environment="production",
        objectives={"database": {"rto": "1h", "drill": "0 5 * * 0"}},
        exports=[{"id": "monthly", "of": "database", "queries": {"a": "select 1"}, "schedule": "0 1 1 * *"}],
    )  # fmt: skip
    found = {item.key: item.procedure for item in items(system)}
    assert found == {
        "backup/nightly": "backup-nightly", "objective/database": "drill-database", "export/monthly": "export-monthly",
    }  # fmt: skip


def test_how_old_a_backup_may_be_follows_from_its_schedule() -> None:
    backup = Backup.model_validate({"id": "b", "of": "database"})
    moments = [START, START + timedelta(days=1), START + timedelta(days=4)]
    assert oldest_good(backup, moments) == timedelta(days=3, hours=1)
    assert oldest_good(backup, []) is None
    own = backup.model_copy(update={"max_age": timedelta(hours=2)})
    assert oldest_good(own, moments) == timedelta(hours=2)


async def test_a_schedule_is_known_before_it_is_due_then_runs_once_and_is_followed(
    watch: Watch, engine: Submitted
) -> None:
    clock = watch.setting.clock
    assert isinstance(clock, HandClock)
    part = Schedules(watch)
    assert await part.tick(clock.now()) <= START
    assert states(watch) == [("backup/nightly", "known")]

    await part.tick(clock.move(hours=1))
    await Schedules(watch).tick(clock.move(seconds=5))
    assert engine.asked == [run_id(watch.where, Due("backup/nightly", START.timestamp(), ""))]
    assert states(watch)[-1] == ("backup/nightly", "running")

    engine.end("done")
    await part.tick(clock.move(minutes=1))
    assert len(engine.asked) == 2
    assert states(watch)[1:] == [("backup/nightly", "done"), ("prune/nightly", "running")]
    assert bad(watch) == {}


async def test_a_process_that_died_after_it_asked_does_not_ask_again(watch: Watch, engine: Submitted) -> None:
    clock = watch.setting.clock
    assert isinstance(clock, HandClock)
    await Schedules(watch).tick(clock.now())
    await Schedules(watch).tick(clock.move(hours=1))
    with writing(watch.setting.store) as connection:
        store_of_due.change(connection, watch.where, "backup/nightly", START.timestamp(), state="due", run="")
    await Schedules(watch).tick(clock.move(minutes=1))
    assert len(engine.asked) == 1
    assert states(watch)[-1] == ("backup/nightly", "running")


@pytest.mark.parametrize(
    ("error", "minutes", "state", "told"),
    [
        (Refused("no window is open", "wait"), 1, "refused", State.WARNING),
        (Unreachable("it does not answer"), 1, "due", State.WARNING),
        (Unreachable("it does not answer"), 70, "failed", State.CRITICAL),
    ],
)
async def test_what_cannot_begin_is_told_and_tried_again_for_a_while(
    watch: Watch, engine: Submitted, error: Exception, minutes: int, state: str, told: State
) -> None:
    clock = watch.setting.clock
    assert isinstance(clock, HandClock)
    part = Schedules(watch)
    await part.tick(clock.now())
    engine.error = error
    await part.tick(clock.move(hours=1))
    await part.tick(clock.move(minutes=minutes))
    assert states(watch)[-1] == ("backup/nightly", state)
    assert bad(watch) == {"schedule:backup/nightly": told}


async def test_a_run_that_failed_is_an_alert_until_the_next_is_done(watch: Watch, engine: Submitted) -> None:
    clock = watch.setting.clock
    assert isinstance(clock, HandClock)
    part = Schedules(watch)
    await part.tick(clock.now())
    await part.tick(clock.move(hours=1))
    engine.end("failed")
    await part.tick(clock.move(minutes=5))
    assert bad(watch) == {"schedule:backup/nightly": "critical"}
    await part.tick(clock.move(days=1))
    assert bad(watch) == {"schedule:backup/nightly": "critical"}
    engine.end("done")
    await part.tick(clock.move(minutes=5))
    assert bad(watch) == {}
