"""How old the data of a standby are, from what opsbook saw of both sides."""

from __future__ import annotations

import pytest

from opsbook.observations.postgres_replication import Position, lag_seconds

SEEN = [Position(at=100, lsn=1000), Position(at=160, lsn=2000), Position(at=220, lsn=3000)]
NOW = 230.0


@pytest.mark.parametrize(
    ("replayed", "commit_age", "seconds"),
    [
        (2000, None, 70),  # it has all of 160, and not all of 220
        (2500, None, 70),
        (1000, None, 130),
        (3000, None, 10),
        (2000, 5.0, 5),  # its last commit is younger than what was seen
        (2000, 3600.0, 70),  # idle for an hour before: only the time since 160 counts
        (500, 42.0, 42),  # nothing that was seen is replayed
        (500, None, None),
        (2000, -3.0, 0),  # clocks differ
    ],
)
def test_the_smaller_bound_holds(replayed: float, commit_age: float | None, seconds: float | None) -> None:
    assert lag_seconds(SEEN, replayed, NOW, commit_age) == seconds
