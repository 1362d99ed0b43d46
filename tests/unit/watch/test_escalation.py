"""Whom an incident pages, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.people import Level
from opsbook.watch.escalation import LAST_REPEATS, Rung, as_text, due, from_text, path_of

T0 = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
MINUTES = st.integers(0, 600).map(lambda n: timedelta(minutes=n))
RUNGS = st.lists(
    st.builds(Rung, st.just("L"), st.just("ops"), MINUTES, st.one_of(st.none(), MINUTES.filter(bool))),
    min_size=1, max_size=4,
)  # fmt: skip
PATH = (Rung("L1", "first"), Rung("L2", "boss", timedelta(minutes=5), timedelta(minutes=10)))


def told_at(minutes: float, told: set[str] = frozenset(), acknowledged: datetime | None = None) -> list[str]:  # type: ignore[assignment]
    pages, _ = due(PATH, T0, acknowledged, told, T0 + timedelta(minutes=minutes))
    return [f"{page.level}/{page.number}" for page in pages]


def test_the_first_level_is_paged_at_once_and_the_second_after_its_time() -> None:
    assert told_at(0) == ["L1/0"]
    assert told_at(4.9, {"0/0|first"}) == []
    assert told_at(5, {"0/0|first"}) == ["L2/0"]


def test_a_level_is_told_again_at_its_rhythm() -> None:
    assert told_at(14.9, {"0/0|first", "1/0|boss"}) == []
    assert told_at(15, {"0/0|first", "1/0|boss"}) == ["L2/1"]


def test_what_was_missed_while_nobody_looked_is_one_page_for_each_level() -> None:
    assert told_at(300) == ["L1/0", "L2/29"]


def test_acknowledging_stops_it() -> None:
    assert told_at(60, set(), T0 + timedelta(minutes=1)) == []


def test_it_says_when_the_next_page_is() -> None:
    assert due(PATH, T0, None, {"0/0|first"}, T0)[1] == T0 + timedelta(minutes=5)
    assert due(PATH, T0, None, {"0/0|first", "1/0|boss"}, T0 + timedelta(minutes=6))[1] == T0 + timedelta(minutes=15)
    assert due(PATH[:1], T0, None, {"0/0|first"}, T0)[1] is None


def test_a_path_is_the_same_out_of_the_store() -> None:
    assert from_text(as_text(PATH)) == PATH


@given(RUNGS, st.lists(MINUTES, min_size=1, max_size=12))
def test_no_page_is_early_none_comes_twice_and_no_level_is_left_out(path: list[Rung], looks: list[timedelta]) -> None:
    told: set[str] = set()
    now = T0
    for pause in looks:
        now += pause
        pages, following = due(path, T0, None, told, now)
        assert all(page.at <= now for page in pages)
        assert not told & {page.told for page in pages}
        assert len({page.rung for page in pages}) == len(pages)
        told |= {page.told for page in pages}
        assert due(path, T0, None, told, now)[0] == []
        reached = {place for place, rung in enumerate(path) if T0 + rung.within <= now}
        assert {int(key.partition("/")[0]) for key in told} == reached
        assert following is None or following > now


@given(RUNGS, MINUTES, MINUTES)
def test_nothing_is_due_before_the_time_that_was_said(path: list[Rung], first: timedelta, more: timedelta) -> None:
    now = T0 + first
    pages, following = due(path, T0, None, set(), now)
    if following is not None and now + more < following:
        assert due(path, T0, None, {page.told for page in pages}, now + more)[0] == []


def test_a_path_of_which_nothing_is_repeated_does_not_end_in_silence() -> None:
    first, last = Level(level="L1", notify="ops"), Level(level="L2", notify="boss", within=timedelta(minutes=5))
    assert [rung.repeat for rung in path_of([first, last])] == [None, LAST_REPEATS]
    again = first.model_copy(update={"repeat": timedelta(minutes=10)})
    assert [rung.repeat for rung in path_of([again, last])] == [timedelta(minutes=10), None]
    assert path_of([]) == ()
