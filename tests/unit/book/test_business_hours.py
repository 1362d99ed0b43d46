"""Clocks that run in business hours only."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.business import NEVER, Calendar, calendar, deadline, elapsed
from opsbook.book.people import BusinessHours

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = calendar(BusinessHours(), "Europe/Berlin")
MOMENTS = st.datetimes(datetime(2023, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC))
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def hours(days: set[str], start: int, length: int) -> BusinessHours:
    """Hours that begin at a minute of the day and last so many minutes."""
    first, last = (time(minute // 60, minute % 60) for minute in (start, start + length))
    return BusinessHours.model_validate({"days": sorted(days), "start": first, "end": last})


HOURS = st.builds(hours, st.sets(st.sampled_from(DAYS), min_size=1), st.integers(0, 1000), st.integers(1, 400))
SPANS = st.timedeltas(timedelta(0), timedelta(days=9))
CALENDARS = st.builds(
    calendar,
    HOURS,
    st.sampled_from(("UTC", "Europe/Berlin", "America/Mexico_City", "Australia/Lord_Howe")),
    st.lists(st.dates(date(2023, 1, 1), date(2028, 1, 1)), max_size=5),
)


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def test_it_counts_the_hours_of_the_office_alone() -> None:
    # Friday 16:00 until Monday 10:00: an hour of Friday and an hour of Monday.
    assert elapsed(OFFICE, berlin("2026-01-09T16:00"), berlin("2026-01-12T10:00")) == timedelta(hours=2)


def test_a_deadline_skips_the_weekend_and_a_holiday() -> None:
    with_holiday = calendar(BusinessHours(), "Europe/Berlin", [date(2026, 1, 12)])
    found = deadline(with_holiday, berlin("2026-01-09T16:30"), timedelta(hours=1))
    assert found == berlin("2026-01-13T09:30")


def test_without_hours_the_clock_always_runs() -> None:
    always = calendar(None, "Europe/Berlin", [date(2026, 1, 12)])
    start = berlin("2026-01-10T03:00")
    assert elapsed(always, start, start + timedelta(days=3)) == timedelta(days=3)
    assert deadline(always, start, timedelta(hours=5)) == start + timedelta(hours=5)


def test_nine_stays_nine_when_summer_time_begins() -> None:
    weekend = Calendar(BusinessHours(days=("SU", "MO")), "Europe/Berlin")
    # The night of 29 March 2026 is an hour shorter: 09:00 is 07:00 UTC from then on.
    assert deadline(weekend, berlin("2026-03-28T12:00"), timedelta(hours=1)) == berlin("2026-03-29T10:00")
    assert berlin("2026-03-29T10:00").astimezone(UTC).hour == 8


def test_the_hour_that_comes_twice_counts_twice_and_the_one_that_is_skipped_not_at_all() -> None:
    night = calendar(BusinessHours(days=("SU",), start=time(1), end=time(4)), "Europe/Berlin")
    assert elapsed(night, berlin("2026-10-25T00:00"), berlin("2026-10-25T12:00")) == timedelta(hours=4)
    assert elapsed(night, berlin("2026-03-29T00:00"), berlin("2026-03-29T12:00")) == timedelta(hours=2)


def test_a_clock_without_hours_counts_what_really_passed_in_the_night_that_is_shorter() -> None:
    always = calendar(None, "Europe/Berlin")
    assert elapsed(always, berlin("2026-03-29T00:00"), berlin("2026-03-29T06:00")) == timedelta(hours=5)


def test_a_leap_day_is_a_day() -> None:
    assert elapsed(OFFICE, berlin("2028-02-29T00:00"), berlin("2028-03-01T00:00")) == timedelta(hours=8)


def test_a_budget_that_no_clock_reaches_ends_never() -> None:
    assert deadline(OFFICE, berlin("9999-12-20T00:00"), timedelta(days=400)) == NEVER


@given(
    CALENDARS, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=9)), st.timedeltas(timedelta(0), timedelta(days=9))
)
def test_time_that_ran_is_additive_and_never_negative(
    one: Calendar, start: datetime, first: timedelta, second: timedelta
) -> None:  # fmt: skip
    middle, end = start + first, start + first + second
    whole = elapsed(one, start, end)
    assert timedelta(0) <= whole <= end - start
    assert whole == elapsed(one, start, middle) + elapsed(one, middle, end)


@given(CALENDARS, MOMENTS, st.timedeltas(timedelta(seconds=1), timedelta(days=3)))
def test_until_its_deadline_a_clock_runs_for_its_budget(one: Calendar, start: datetime, budget: timedelta) -> None:
    assert elapsed(one, start, deadline(one, start, budget)) == budget
