"""What `$(date …)` prints, as the example of a parameter."""

from __future__ import annotations

import pytest

from opsbook.manual.lift.dates import example_of


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("$(date +%Y%m%d)", "20260131"),
        ("$(date '+%Y-%m-%d %H:%M:%S')", "2026-01-31 12:00:00"),
        ("`date +%F`", "2026-01-31"),
        ("$(date -u -I)", "2026-01-31"),
        ("$(date --iso-8601=seconds)", "2026-01-31T12:00:00+00:00"),
        ("$(date -d yesterday +%F)", "2026-01-31"),
        ("$(date +%s)", "1769860800"),
        ("$(date +%q)", None),
    ],
)
def test_it_prints_what_date_would(command: str, example: str | None) -> None:
    assert example_of(command) == example
