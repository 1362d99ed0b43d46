"""When cron lines are due, also in the nights when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.watch.calendars import between, first_after

NEW_YORK = "America/New_York"
SPRING = datetime(2026, 3, 8, tzinfo=UTC)
AUTUMN = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "day", "expected"),
    [
        ("30 2 * * *", SPRING, ["07:30"]),
        ("30 1 * * *", AUTUMN, ["05:30"]),
        ("0 3 * * *", SPRING, ["07:00"]),
        ("*/30 * * * *", AUTUMN + timedelta(hours=4.9), ["05:00", "05:30", "06:00", "06:30", "07:00", "07:30"]),
        ("*/30 * * * *", SPRING + timedelta(hours=5.9), ["06:00", "06:30", "07:00", "07:30", "08:00", "08:30"]),
        ("0 5,6 1 11 *", AUTUMN, ["10:00", "11:00"]),
    ],
)
def test_a_night_that_changes_the_clock_loses_nothing_and_does_nothing_twice(
    cron: str, day: datetime, expected: list[str]
) -> None:
    hours = 3 if cron.startswith("*") else 24
    found = between(cron, NEW_YORK, day, day + timedelta(hours=hours))
    assert [f"{one:%H:%M}" for one in found] == expected


def test_the_leap_day_comes_every_four_years_and_the_thirtieth_of_february_never() -> None:
    assert first_after("0 0 29 2 *", "UTC", datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2028, 2, 29, tzinfo=UTC)
    assert first_after("0 0 30 2 *", "UTC", datetime(2026, 1, 1, tzinfo=UTC)) is None
    assert between("0 0 30 2 *", "UTC", datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)) == []


@given(
    st.sampled_from(["0 3 * * *", "30 1 * * *", "15 2 * * 0", "*/20 * * * *", "0 */6 * * *", "5 0 1 * *"]),
    st.sampled_from([NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "UTC"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
    st.integers(1, 72),
)
def test_looking_in_two_halves_finds_what_looking_once_does(cron: str, zone: str, at: datetime, hours: int) -> None:
    start = at.replace(tzinfo=UTC)
    middle, end = start + timedelta(hours=hours / 3), start + timedelta(hours=hours)
    whole = between(cron, zone, start, end)
    assert whole == between(cron, zone, start, middle) + between(cron, zone, middle, end)
    assert whole == sorted(set(whole))
    following = first_after(cron, zone, start)
    assert following is not None
    assert (following == whole[0]) if whole else following > end
