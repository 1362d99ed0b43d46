"""Who is on call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.model import BookModel
from opsbook.book.people import OnCall
from opsbook.book.rotations import gaps_told, member_at, on_call, stretches

NEW_YORK = ZoneInfo("America/New_York")
MONDAY = "2026-01-05T09:00:00"


def book(rotations: dict[str, dict[str, Any]], **keys: Any) -> BookModel:
    contacts = {name: {} for name in ("ana", "bob", "cid", "boss")}
    return BookModel.model_validate(
        {"opsbook": 1, "system": "shop", "timezone": "America/New_York", "environments": {"production": {}},
         "components": {"api": {}}, "contacts": contacts, "oncall": rotations, **keys}
    )  # fmt: skip


def weekly(**keys: Any) -> dict[str, Any]:
    return {"members": ["ana", "bob", "cid"], "start": MONDAY, **keys}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


def who(model: BookModel, moment: str, rotation: str = "first") -> str:
    return on_call(model, rotation, at(moment)).who


def test_turns_follow_each_other_and_begin_again() -> None:
    model = book({"first": weekly()})
    days = ("2026-01-05T09:00", "2026-01-12T08:59", "2026-01-12T09:00", "2026-01-26T09:00")
    assert [who(model, day) for day in days] == ["ana", "ana", "bob", "ana"]


def test_the_hand_over_stays_at_nine_when_clocks_change() -> None:
    model = book({"first": weekly()})
    # Summer time begins on 8 March 2026 in New York.
    assert who(model, "2026-03-09T08:59") != who(model, "2026-03-09T09:00")
    assert who(model, "2026-11-02T08:59") != who(model, "2026-11-02T09:00")


def test_nobody_is_on_call_before_the_first_turn() -> None:
    assert who(book({"first": weekly()}), "2026-01-05T08:59") == ""


def test_an_override_takes_a_turn_over_also_outside_of_the_hours() -> None:
    shift = {"who": "boss", "start": "2026-01-10T00:00:00", "end": "2026-01-11T00:00:00"}
    model = book({"first": weekly(hours={}, overrides=[shift])})
    assert who(model, "2026-01-10T03:00") == "boss"
    assert who(model, "2026-01-11T03:00") == ""


def test_the_backup_answers_where_nobody_does_through_another_rotation_too() -> None:
    model = book({"first": weekly(hours={}, backup="night"), "night": weekly(members=["cid"])})
    duty = on_call(model, "first", at("2026-01-10T03:00"))
    assert (duty.who, duty.why, duty.via) == ("cid", "backup", "night")


def test_two_rotations_that_are_each_others_backup_end() -> None:
    model = book({"first": weekly(hours={}, backup="other"), "other": weekly(hours={}, backup="first")})
    assert who(model, "2026-01-10T03:00") == ""


def test_a_gap_is_told_as_people_say_it() -> None:
    six = ["MO", "TU", "WE", "TH", "FR", "SA"]
    nights = {"days": six, "start": "00:00", "end": "23:59"}
    assert gaps_told(book({"first": weekly(hours=nights, turn="1d")}), "first")[-1] == "Sat 23:59–Mon 00:00"
    assert gaps_told(book({"first": weekly()}), "first") == []


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC"])
def test_turns_of_twelve_hours_change_once_each_through_the_nights_of_a_year(zone: str) -> None:
    rotation = OnCall.model_validate(weekly(turn="12h", start="2026-01-05T02:30:00"))
    there = ZoneInfo(zone)
    moment, seen = datetime(2026, 1, 6, tzinfo=UTC), []
    while moment < datetime(2026, 12, 31, tzinfo=UTC):
        member = member_at(rotation, there, moment)
        if not seen or seen[-1] != member:
            seen.append(member)
        moment += timedelta(minutes=30)
    order = ["ana", "bob", "cid"]
    assert all(order.index(after) == (order.index(before) + 1) % 3 for before, after in pairwise(seen))


@given(
    st.datetimes(datetime(2026, 1, 6), datetime(2027, 12, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(hours=1), timedelta(days=20)),
    st.sampled_from(("12h", "1d", "7d")),
    st.booleans(),
)
def test_stretches_have_no_gap_no_overlap_and_say_what_on_call_says(
    start: datetime, length: timedelta, turn: str, hours: bool
) -> None:
    model = book({"first": weekly(turn=turn, **({"hours": {}, "backup": "boss"} if hours else {}))})
    found = stretches(model, "first", start, start + length)
    assert found[0].start == start and found[-1].end == start + length
    assert all(one.end == other.start for one, other in pairwise(found))
    for one in found:
        assert on_call(model, "first", one.start) == one.duty
        assert on_call(model, "first", one.end - timedelta(seconds=1)) == one.duty
