"""When growth breaks the promised recovery time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from opsbook.recovery.forecast import forecast

START = datetime(2026, 1, 1, tzinfo=UTC)
GB = 1e9
HOUR = timedelta(hours=1)


def growing(by: float, days: int = 10) -> list[tuple[datetime, float]]:
    return [(START + timedelta(days=day), 10 * GB + day * by) for day in range(days)]


def test_it_tells_the_day_on_which_recovery_takes_as_long_as_promised() -> None:
    found = forecast(growing(GB), [(10 * GB, 1000.0)], HOUR)  # 100 s a GB: an hour at 36 GB, which is day 26
    assert found is not None
    assert found.missed_at == START + timedelta(days=26)
    assert found.seconds_now == 1900


def test_one_odd_day_does_not_change_the_growth() -> None:
    sizes = growing(GB)
    sizes[4] = (sizes[4][0], 90 * GB)
    found = forecast(sizes, [(10 * GB, 1000.0)], HOUR)
    assert found is not None
    assert abs(found.growth - GB) < GB / 20


def test_the_slowest_recovery_counts() -> None:
    found = forecast(growing(GB), [(10 * GB, 1000.0), (10 * GB, 1500.0)], HOUR)
    assert found is not None
    assert found.seconds_now == 1.5e-7 * 19 * GB


def test_what_shrinks_or_hardly_grows_is_never_missed() -> None:
    for by in (-GB, 0.0, 1.0):
        found = forecast(growing(by), [(10 * GB, 10.0)], HOUR)
        assert found is not None
        assert found.missed_at is None


def test_a_promise_that_is_broken_already_is_missed_now() -> None:
    found = forecast(growing(GB), [(GB, 1000.0)], HOUR)
    assert found is not None
    assert found.missed_at == START + timedelta(days=9)


def test_it_says_nothing_where_nothing_is_known() -> None:
    assert forecast(growing(GB, days=2), [(GB, 1.0)], HOUR) is None
    assert forecast(growing(GB, days=3), [(GB, 1.0)], HOUR) is None  # two days apart
    assert forecast(growing(GB), [], HOUR) is None
    assert forecast([(START, GB)] * 5, [(GB, 1.0)], HOUR) is None
    assert forecast(growing(GB), [(0.0, 5.0)], HOUR) is None
