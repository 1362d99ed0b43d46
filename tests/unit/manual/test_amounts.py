"""Durations, comparisons, times and days in several languages."""

from __future__ import annotations

import pytest

from opsbook.manual.amounts import comparisons, cron_frequency, days, duration, frequency, times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15 minutes", 900),
        ("15min", 900),
        ("within 1 hour", 3600),
        ("2h", 7200),
        ("7 days", 604_800),
        ("two weeks", 1_209_600),
        ("30-day", 2_592_000),
        ("1.5 hours", 5400),
        ("4時間以内", 14_400),
        ("15 分钟", 900),
        ("7 дней", 604_800),
        ("30 días", 2_592_000),
        ("2 Stunden", 7200),
        ("3 horas", 10_800),
        ("0-15 min", 900),
        ("at once", 0),
        ("Sofort", 0),
    ],
)
def test_it_reads_durations(text: str, seconds: float) -> None:
    found = duration(text)
    assert found is not None
    assert found.seconds == seconds


@pytest.mark.parametrize("text", ["24/7", "99.9%", "v1.2.3", "http://x:80", "5 people", "no time"])
def test_it_sees_no_duration_where_there_is_none(text: str) -> None:
    assert duration(text) is None


def test_it_keeps_business_days_as_they_are() -> None:
    texts = ("1 business day", "Next business day", "nächster Werktag")
    assert [found.text for text in texts if (found := duration(text))] == [
        "1 business day",
        "next business day",
        "nächster werktag",
    ]


@pytest.mark.parametrize(
    ("text", "operator", "number", "unit"),
    [
        ("< 200ms", "<", 200, "ms"),
        (">85%", ">", 85, "%"),
        ("≥ 99.9 %", ">=", 99.9, "%"),
        ("over 80", ">", 80, ""),
        ("超过 80%", ">", 80, "%"),
        ("> 1,000 req/s", ">", 1000, "req/s"),
        ("unter 5 Minuten", "<", 5, "Minuten"),
        ("< 0,5 %", "<", 0.5, "%"),
        ("> €50", ">", 50, ""),
    ],
)
def test_it_reads_comparisons(text: str, operator: str, number: float, unit: str) -> None:
    found = comparisons(text)[0]
    assert (found.operator, found.number, found.unit) == (operator, number, unit)


@pytest.mark.parametrize(
    ("text", "expected", "zone"),
    [
        ("Sunday 02:00-04:00 UTC", "02:00-04:00", "UTC"),
        ("2:00 AM - 6:00 AM UTC", "02:00-06:00", "UTC"),
        ("2-4 AM", "02:00-04:00", ""),
        ("11 PM", "23:00", ""),
        ("23:00 bis 01:00 Uhr", "23:00-01:00", ""),
        ("de 03:00 a 05:00", "03:00-05:00", ""),
    ],
)
def test_it_reads_times_of_day(text: str, expected: str, zone: str) -> None:
    found = times(text)
    assert found is not None
    assert (found.text, found.zone) == (expected, zone)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Sundays", "Sunday"),
        ("Mittwoch", "Wednesday"),
        ("domingos", "Sunday"),
        ("周日", "Sunday"),
        ("в пятницу", "Friday"),
    ],
)
def test_it_reads_days_of_the_week(text: str, day: str) -> None:
    assert days(text) == [day]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Daily", "daily"),
        ("every 6 hours", "every 6h"),
        ("wöchentlich", "weekly"),
        ("每天", "daily"),
        ("first Sunday of each month", "monthly"),
        ("WAL archiving", "continuous"),
        ("never said", ""),
    ],
)
def test_it_reads_how_often(text: str, expected: str) -> None:
    assert frequency(text) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 3 * * *", "daily"),
        ("0 4 * * 0", "weekly"),
        ("0 5 1 * *", "monthly"),
        ("30 * * * *", "hourly"),
        ("*/15 * * * *", "every 15min"),
        ("0 */6 * * *", "every 6h"),
        ("@weekly", "weekly"),
        ("nonsense", ""),
    ],
)
def test_it_reads_cron_expressions(cron: str, expected: str) -> None:
    assert cron_frequency(cron) == expected
