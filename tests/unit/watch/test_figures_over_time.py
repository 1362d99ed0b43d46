"""Rollups, service levels and capacity, from stored results."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from tests.unit.watch.on_call import Desk
from tests.unit.watch.watched import START, HandClock, a_signal, a_watch

from opsbook.book.units import Dimension
from opsbook.checks.evaluate import State
from opsbook.store import history
from opsbook.store import rollups as store_of_rollups
from opsbook.store.database import reading, writing
from opsbook.store.history import Point
from opsbook.store.rollups import FIVE_MINUTES, HOUR, Rollup
from opsbook.store.watch_tables import alerts
from opsbook.watch import incident_acts as acts
from opsbook.watch.alerts import take_in
from opsbook.watch.capacity import outlooks
from opsbook.watch.contract import Watch
from opsbook.watch.housekeeping import Housekeeping
from opsbook.watch.incident_views import view_of
from opsbook.watch.postmortem import graph, graphs
from opsbook.watch.rollups import Rollups, stretches
from opsbook.watch.slos import Share, availability, burn, levels, share

CHECK = {"id": "size", "observe": "postgres.database_size", "of": "database", "warning": "> 1GB"}
UP = {"id": "up", "observe": "http.up", "of": "api"}


@pytest.fixture
def watch(store: Engine, tmp_path: Path) -> Watch:
    return a_watch(
        tmp_path, store, HandClock(), checks=[CHECK, UP],
        slos=[{"id": "web", "check": "up", "target": "99%", "over": "1d"}],
        capacity=[{"id": "disk", "check": "size", "limit": "1GB", "warn_before": "30d"}],
    )  # fmt: skip


def say(watch: Watch, check: str, minutes: range, state: str = "ok", value: float | None = None) -> None:
    start = START.timestamp()
    grown = [None if value is None else value * (1 + minute / 1440) for minute in minutes]
    points = [Point(check, start + 60 * m, state, v, "") for m, v in zip(minutes, grown, strict=True)]
    with writing(watch.setting.store) as connection:
        history.add(connection, "shop", "production", points)


def figures(watch: Watch, check: str, span: int) -> list[Rollup]:
    with reading(watch.setting.store) as connection:
        return store_of_rollups.figures(connection, watch.where, check, span, 0, START.timestamp() * 2)


async def test_results_are_rolled_up_once_whenever_it_is_done(watch: Watch) -> None:
    clock = watch.setting.clock
    assert isinstance(clock, HandClock)
    say(watch, "size", range(130), value=100.0)
    say(watch, "up", range(0, 130, 2), state="critical")
    for _ in range(2):
        await Rollups(watch).tick(clock.move(minutes=64))
    await Rollups(watch).tick(clock.move(minutes=3))
    found = figures(watch, "size", FIVE_MINUTES)
    assert len(found) == 26
    assert [one.counted for one in found] == [5] * 26
    assert found[0].least == 100
    assert found[0].most == pytest.approx(100 * (1 + 4 / 1440))
    hours = figures(watch, "size", HOUR)
    assert [one.ok for one in hours] == [60, 60, 10]
    assert hours[0].mean == pytest.approx(100 * (1 + 29.5 / 1440))
    assert sum(one.critical for one in figures(watch, "up", HOUR)) == 65


async def test_what_was_kept_for_long_enough_goes(watch: Watch) -> None:
    clock = watch.setting.clock
    assert isinstance(clock, HandClock)
    say(watch, "up", range(10))
    await Rollups(watch).tick(clock.move(days=15))
    await Housekeeping(watch).tick(clock.at)
    with reading(watch.setting.store) as connection:
        assert store_of_rollups.oldest_result(connection, watch.where) is None
    assert len(figures(watch, "up", FIVE_MINUTES)) == 2
    with writing(watch.setting.store) as connection:
        for state, at in (("critical", START), ("ok", START + timedelta(minutes=1))):
            signal = a_signal(state, at, "am:1", source="alertmanager")
            take_in(connection, watch.system, [signal], at, lambda *_: None)
    await Housekeeping(watch).tick(clock.move(days=400))
    assert figures(watch, "up", FIVE_MINUTES) == []
    with reading(watch.setting.store) as connection:
        assert list(connection.execute(alerts.select())) == []


async def test_a_post_mortem_that_is_written_late_draws_its_graphs_from_rollups(store: Engine, tmp_path: Path) -> None:
    desk = Desk(tmp_path, store, checks=[CHECK])
    say(desk.watch, "size", range(-20, 0), value=1e8)
    desk.clock.move(seconds=1)
    desk.bad("check:size")
    say(desk.watch, "size", range(30), state="critical", value=2e9)
    desk.clock.move(minutes=30)
    desk.act(acts.resolve, "mended")
    view = desk.read(lambda connection: view_of(connection, desk.system, desk.one, desk.now))
    (fresh, _) = graphs(desk.watch.setting, desk.system, view, desk.now)
    await Rollups(desk.watch).tick(desk.clock.move(days=30))
    await Housekeeping(desk.watch).tick(desk.clock.at)
    assert history.history(store, "shop", "production", "size") == []
    (late, _) = graphs(desk.watch.setting, desk.system, view, desk.now)
    for drawn in (fresh, late):
        _, bars, states, _ = drawn.splitlines()[2:6]
        assert {"▁", "█"} <= set(bars) and states.strip().startswith(".") and states.strip().endswith("!")


def test_a_graph_is_in_the_zone_of_the_timeline_and_says_so() -> None:
    begin = datetime(2026, 7, 1, 22, tzinfo=UTC).timestamp()
    points = [history.Point("size", begin + 60, "ok", 1.0, "")]
    drawn = graph("size", "", points, begin, begin + 3600, Dimension.COUNT, ZoneInfo("Europe/Berlin"))
    assert "times in Europe/Berlin" in drawn.splitlines()[0]
    axis = drawn.splitlines()[-2]
    assert axis.startswith("00:00 ") and axis.endswith(" 01:00")


def test_a_time_is_cut_into_parts_without_gaps() -> None:
    assert list(stretches(0, 250, 100)) == [(0, 100), (100, 200), (200, 250)]


def test_availability_is_the_same_from_figures_and_from_results(watch: Watch) -> None:
    say(watch, "up", range(90))
    say(watch, "up", range(90, 100), state="critical")
    say(watch, "up", range(100, 110), state="unknown")
    end = START + timedelta(minutes=110)
    with writing(watch.setting.store) as connection:
        raw = availability(connection, watch.where, "up", START, end)
        store_of_rollups.roll_up(connection, watch.where, START.timestamp(), START.timestamp() + 3600)
        mixed = availability(connection, watch.where, "up", START, end)
    assert raw == mixed == Share(90, 10, 10)
    assert raw.ok == 0.9


@pytest.mark.parametrize(
    ("counts", "target", "rate"),
    [
        ({"ok": 90, "critical": 10}, 0.99, 10.0),
        ({"ok": 99, "warning": 1}, 0.99, 1.0),
        ({"ok": 1}, 0.99, None),
        ({"unknown": 50}, 0.99, None),
        ({"ok": 100}, 1.0, 0.0),
        ({"ok": 99, "critical": 1}, 1.0, float("inf")),
    ],
)
def test_the_budget_burns_as_fast_as_it_is_spent(counts: dict[str, int], target: float, rate: float | None) -> None:
    assert burn(share(counts), target) == (rate if rate is None else pytest.approx(rate))


@pytest.mark.parametrize(
    ("bad_from", "state"), [(600, State.OK), (300, State.WARNING), (540, State.CRITICAL), (0, State.CRITICAL)]
)
def test_a_promise_is_told_while_it_burns_and_not_after(watch: Watch, bad_from: int, state: State) -> None:
    """300: a tenth of six hours was bad and still is, though the last hour is hardly worse than that."""
    clock = watch.setting.clock
    assert isinstance(clock, HandClock)
    if bad_from == 300:
        say(watch, "up", [m for m in range(600) if m % 12], state="ok")  # type: ignore[arg-type]
        say(watch, "up", range(0, 600, 12), state="critical")
    else:
        say(watch, "up", range(bad_from))
        say(watch, "up", range(bad_from, 600), state="critical")
    (found,) = levels(watch, clock.move(minutes=600))
    assert found.state is state
    assert "promised 99 %" in found.sentence


async def test_what_grows_towards_its_limit_is_told_with_the_day(watch: Watch) -> None:
    clock = watch.setting.clock
    assert isinstance(clock, HandClock)
    say(watch, "size", range(0, 4 * 1440, 10), value=100e6)
    await Rollups(watch).tick(clock.move(days=4))
    (found,) = outlooks(watch.setting, watch.system, clock.now())
    assert found.state(clock.now()) is State.WARNING
    assert found.found is not None
    assert found.found.growth == pytest.approx(100e6, rel=0.02)
    assert found.found.full_at is not None
    assert (found.found.full_at - clock.now()) / timedelta(days=1) == pytest.approx(5, abs=0.1)
    assert "of 1 GB, +100 MB a day: there on 2026-01-1" in found.sentence(clock.now())
