"""What checks said before, in the store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine

from opsbook.store.database import StoreFailed
from opsbook.store.history import Point, baselines, history, record

DAY = 86400.0


def point(check: str, at: float, value: float | None = 1.0) -> Point:
    return Point(check, at, "ok", value, "fine")


def test_it_gives_back_the_newest_results_oldest_first(store: Engine) -> None:
    for at in (1.0, 3.0, 2.0):
        record(store, "shop", "production", [point("a", at), point("b", at)], DAY)
    assert [one.at for one in history(store, "shop", "production", "a", limit=2)] == [2.0, 3.0]
    assert history(store, "shop", "staging", "a") == []


def test_results_that_are_too_old_are_dropped_with_the_next_one(store: Engine) -> None:
    record(store, "shop", "production", [point("a", 0.0), point("b", 0.0)], DAY)
    record(store, "shop", "production", [point("a", DAY + 1)], DAY)
    assert [one.at for one in history(store, "shop", "production", "a")] == [DAY + 1]
    assert [one.at for one in history(store, "shop", "production", "b")] == [0.0], "b was not checked meanwhile"


def test_a_baseline_is_the_median_of_its_time(store: Engine) -> None:
    for at, value in ((0.0, 100.0), (10.0, 1.0), (11.0, 3.0), (12.0, None), (13.0, 2.0)):
        record(store, "shop", "production", [point("a", at, value)], DAY)
    assert baselines(store, "shop", "production", [("a", 5.0), ("none", 5.0)], 14.0) == {"a": 2.0}


def test_more_checks_than_sqlite_takes_parameters(store: Engine) -> None:
    record(store, "shop", "production", [point(f"c{n}", 1.0) for n in range(40_000)], DAY)
    assert len(history(store, "shop", "production", "c39999")) == 1


def test_a_damaged_store_is_told_not_thrown(tmp_path: Path, store: Engine) -> None:
    record(store, "shop", "production", [point("a", 1.0)], DAY)
    with sqlite3.connect(tmp_path / "store.db") as direct:
        direct.execute("DROP TABLE check_results")
    with pytest.raises(StoreFailed, match="no such table"):
        history(store, "shop", "production", "a")
    with pytest.raises(StoreFailed, match="no such table"):
        baselines(store, "shop", "production", [("a", 5.0)], 1.0)
