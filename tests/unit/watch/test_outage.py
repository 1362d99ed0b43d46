"""An outage of the store is told once, and so is its end."""

from __future__ import annotations

import logging

import pytest

from opsbook.errors import OpsbookError
from opsbook.watch import outage
from opsbook.watch.outage import AFTERMATH, AGAIN_EVERY, Outage

GONE = OpsbookError("the store is gone")


def test_it_is_told_once_and_what_began_before_its_end_is_no_other_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    monkeypatch.setattr(outage.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, "opsbook.watch.outage")

    def lines() -> int:
        return len(caplog.records)

    found = Outage()
    found.met(GONE)
    found.met(GONE)
    assert lines() == 1
    now[0] += AGAIN_EVERY
    found.met(GONE)
    assert lines() == 2, "one that goes on is told again"
    found.over()
    found.over()
    assert lines() == 3
    now[0] += AFTERMATH - 1
    found.met(GONE)
    assert lines() == 3, "this attempt may have begun before the end"
    now[0] += 2
    found.met(GONE)
    assert lines() == 4
