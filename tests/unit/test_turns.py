"""Taking turns among tests that use real servers: waiting in line costs none of them its time."""

from __future__ import annotations

import fcntl
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.integration import turns


def left() -> float:
    return signal.getitimer(signal.ITIMER_REAL)[0]


@pytest.mark.timeout(60)
def test_waiting_for_a_turn_does_not_count_against_the_time_of_a_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_file", tmp_path.joinpath)
    before, seen = left(), []

    def another() -> None:
        """Keeps its turn until it sees that the one who waits has more time, or gives up."""
        deadline = time.monotonic() + 10
        while left() <= before and time.monotonic() < deadline:
            time.sleep(0.002)
        seen.append(left())
        fcntl.flock(file, fcntl.LOCK_UN)

    with (tmp_path / "up").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread = threading.Thread(target=another)
        thread.start()
        with turns.one_by_one("up"):
            thread.join()
            assert seen[0] > turns.LONGEST_WAIT
            assert 0 < left() <= before
            with turns.uncounted(500):
                assert left() > 500
            assert 0 < left() <= before


def test_what_has_no_time_limit_is_given_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getitimer", lambda which: (0.0, 0.0))
    monkeypatch.setattr(signal, "setitimer", lambda *values: pytest.fail("a timer was set"))
    with turns.uncounted(5):
        pass
