"""Promises held against what was measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from opsbook.book.recovery import Objective
from opsbook.connectors.backups.recoverable import Source
from opsbook.recovery.objectives import Measured, Standing, clock, duration, judged, sparkline

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
PROMISE = Objective(rto=timedelta(hours=2), rpo=timedelta(hours=1))
FRESH = Source("nightly/1", NOW - timedelta(minutes=5))


def measured(days: float = 1, *, good: bool = True, rto: float | None = 41.0, rpo: float | None = 38.0) -> Measured:
    problems = () if good else ("the table a is missing",)
    return Measured(NOW - timedelta(days=days), good, rto, rpo, problems=problems)


def test_it_is_proven_by_a_good_drill_while_a_loss_now_would_keep_it_too() -> None:
    found = judged("database", PROMISE, [measured(9), measured(1)], [FRESH], NOW)
    assert found.standing is Standing.PROVEN
    assert found.last == measured(1)
    assert [promise.measured for promise in found.promises] == [41.0, 38.0]


@pytest.mark.parametrize(
    ("drills", "sources", "standing", "why"),
    [
        ([], [FRESH], Standing.UNPROVEN, "it was never drilled"),
        ([measured(100)], [FRESH], Standing.UNPROVEN, "the last drill is 100 d old"),
        ([measured(rto=None)], [FRESH], Standing.UNPROVEN, "the last drill did not measure it"),
        ([measured(rto=7201)], [FRESH], Standing.MISSED, "measured 02:00:01, promised 02:00:00"),
        ([measured(), measured(0.5, good=False)], [FRESH], Standing.MISSED,
         "the last drill failed: the table a is missing"),
        ([measured(rpo=3700)], [FRESH], Standing.MISSED, "measured 01:01:40, promised 01:00:00"),
        ([measured()], [], Standing.MISSED, "there is nothing to recover from now"),
        ([measured()], [Source("n/1", NOW - timedelta(hours=26))], Standing.MISSED,
         "a loss now would cost 26:00:00 (n/1)"),
        ([measured()], [Source("n/1", NOW, whole=False)], Standing.MISSED, "there is nothing to recover from now"),
    ],
)  # fmt: skip
def test_it_says_why_a_promise_is_not_proven(
    drills: list[Measured], sources: list[Source], standing: Standing, why: str
) -> None:
    found = judged("database", PROMISE, drills, sources, NOW)
    assert found.standing is standing
    assert why in [promise.why for promise in found.promises]


def test_of_several_sources_the_one_that_keeps_all_of_the_promise_counts() -> None:
    """A dump of last night promises no hour; the log that is archived does, also where the dump is drilled later."""
    log = replace(measured(3, rpo=20.0), source="wal")
    dump = replace(measured(1, rto=11.0, rpo=80_000.0), source="nightly")
    found = judged("database", PROMISE, [log, dump], [FRESH], NOW)
    assert found.standing is Standing.PROVEN
    assert [promise.measured for promise in found.promises] == [41.0, 20.0]
    assert found.last == dump
    failed = replace(measured(2, good=False), source="wal")
    assert judged("database", PROMISE, [log, failed, dump], [FRESH], NOW).standing is Standing.MISSED
    partial = replace(measured(0.1, rpo=None), source="wal")  # recovered to a chosen moment: it tells no loss
    assert judged("database", PROMISE, [log, partial], [FRESH], NOW).standing is Standing.PROVEN


def test_a_promise_of_one_figure_is_held_to_that_alone() -> None:
    found = judged("api", Objective(rto=timedelta(minutes=1)), [measured(rpo=None)], [], NOW)
    assert [promise.figure for promise in found.promises] == ["rto"]
    assert found.standing is Standing.PROVEN


def test_the_trend_shows_the_target_as_the_highest_bar_and_failures_as_crosses() -> None:
    assert sparkline([0, 450, 900, None, 3600, 9999], 3600) == "▁▂▃×██"
    trend = judged("database", PROMISE, [measured(2), measured(1, good=False)], [FRESH], NOW).promises[0].trend
    assert trend == (41.0, None)


def test_times_are_never_told_shorter_than_they_were() -> None:
    assert (clock(40.2), clock(7200.5), duration(38.4), duration(0.25), duration(61)) == (
        "00:00:41", "02:00:01", "38 s", "0.2 s", "00:01:01",
    )  # fmt: skip
