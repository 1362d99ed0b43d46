"""The choice of generations: no prune may break the promise that it serves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.recovery import Generations
from opsbook.recovery.generations import PERIODS, Candidate, choose

MEXICO = ZoneInfo("America/Mexico_City")
BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2024, 1, 1, 9, tzinfo=UTC)


def candidate(at: datetime, proven: bool | None = None, *holds: str) -> Candidate:
    return Candidate(at.strftime("%Y%m%dT%H%M%S"), at, proven, holds)


def kept(candidates: Iterable[Candidate], keep: Generations, now: datetime, zone: ZoneInfo = MEXICO) -> set[str]:
    return {one.candidate.stamp for one in choose(candidates, keep, now, zone) if one.kept}


HOURS = st.lists(st.integers(0, 24 * 500), min_size=1, max_size=40, unique=True)
PROVEN = st.lists(st.sampled_from([None, True, False]), min_size=40, max_size=40)
RULES = st.builds(
    Generations,
    last=st.integers(0, 3), hourly=st.integers(0, 3), daily=st.integers(0, 8), weekly=st.integers(0, 5),
    monthly=st.integers(0, 13), yearly=st.integers(0, 3), within=st.none() | st.timedeltas(timedelta(0), timedelta(60)),
)  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Candidate]:
    hours, proven = sorted(draw(HOURS)), draw(PROVEN)
    return [candidate(START + timedelta(hours=hour), proven[n]) for n, hour in enumerate(hours)]


@given(histories(), RULES)
def test_each_rule_keeps_one_of_each_of_its_newest_periods(history: list[Candidate], keep: Generations) -> None:
    now = history[-1].at
    stay = kept(history, keep, now)
    usable = [one for one in history if one.usable]
    for name, period in PERIODS:
        periods = list(dict.fromkeys(period(one.at.astimezone(MEXICO)) for one in reversed(usable)))
        covered = {period(one.at.astimezone(MEXICO)) for one in usable if one.stamp in stay}
        assert set(periods[: getattr(keep, name)]) <= covered


@given(histories(), RULES)
def test_pruning_after_every_backup_keeps_what_pruning_once_would(history: list[Candidate], keep: Generations) -> None:
    there: list[Candidate] = []
    for one in history:
        there.append(one)
        stay = kept(there, keep, one.at)
        there = [other for other in there if other.stamp in stay]
    usable = {one.stamp for one in history if one.usable}
    assert {one.stamp for one in there} & usable == kept(history, keep, history[-1].at) & usable


@given(histories(), RULES)
def test_the_newest_usable_and_the_newest_proven_stay(history: list[Candidate], keep: Generations) -> None:
    stay = kept(history, keep, START + timedelta(days=900))
    for wanted in ([one for one in history if one.usable], [one for one in history if one.proven]):
        if wanted:
            assert wanted[-1].stamp in stay
    assert stay


@given(histories(), RULES)
def test_a_choice_made_twice_is_the_same_choice(history: list[Candidate], keep: Generations) -> None:
    now = START + timedelta(days=501)
    stay = kept(history, keep, now)
    assert kept([one for one in history if one.stamp in stay], keep, now) == stay


def test_three_years_of_nightly_backups_leave_seven_days_four_weeks_and_twelve_months() -> None:
    keep = Generations(daily=7, weekly=4, monthly=12)
    there: list[Candidate] = []
    for day in range(3 * 365):
        there.append(candidate(START + timedelta(days=day)))
        stay = kept(there, keep, there[-1].at)
        there = [one for one in there if one.stamp in stay]
    days = [one.at.date() for one in there]
    assert days[-7:] == [days[-1] - timedelta(days=n) for n in range(6, -1, -1)]
    assert len({day.isocalendar()[:2] for day in days[-10:]}) >= 4
    assert len({(day.year, day.month) for day in days}) == 12
    assert len(days) <= 7 + 4 + 12


def test_days_are_those_of_the_books_time_zone_also_when_clocks_change() -> None:
    evening = datetime(2026, 3, 29, 22, 30, tzinfo=UTC)  # 00:30 of the 30th in Berlin, after the change of that night
    day = [candidate(evening - timedelta(hours=1)), candidate(evening)]
    assert len(kept(day, Generations(daily=2), evening, BERLIN)) == 2
    assert len(kept(day, Generations(daily=2), evening, ZoneInfo("UTC"))) == 1


@pytest.mark.parametrize(
    ("candidates", "keep", "expected"),
    [
        ([candidate(START, None, "audit")], Generations(last=1), ["held: audit, newest, last 1 of 1"]),
        ([candidate(START + timedelta(days=9))], Generations(daily=1), ["from the future, newest, daily 1 of 1"]),
        ([candidate(START, False)], Generations(daily=1), ["nothing better is there"]),
        ([candidate(START - timedelta(days=2))], Generations(), ["newest, all are kept"]),
        (
            [candidate(START - timedelta(days=3), True), candidate(START - timedelta(days=2)), candidate(START, False)],
            Generations(last=1),
            ["damaged, and a good one is there", "newest, last 1 of 1", "newest that is proven"],
        ),
        (
            [candidate(START - timedelta(days=3)), candidate(START - timedelta(days=1))],
            Generations(within=timedelta(days=2)),
            ["newest, young enough", "no rule keeps it"],
        ),
    ],
)
def test_it_says_why_each_stays_or_goes(candidates: list[Candidate], keep: Generations, expected: list[str]) -> None:
    assert [one.sentence for one in choose(candidates, keep, START, MEXICO)] == expected
