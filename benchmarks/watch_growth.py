"""How much a store grows a day: results one by one, and the five-minute and hourly figures that are made of them.

Days pass by a clock that is moved by hand; what checks say is made up, with values that change; what stores it is the
part of the watch that does. Raw results are kept for `keep_raw`, so that the store stops growing by them then.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from figures import Figure, tell

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.setting import open_setting
from opsbook.store import history
from opsbook.watch.contract import Watch
from opsbook.watch.rollups import Rollups

CHECKS, EVERY, DAYS = 100, 60, 3
START = datetime(2026, 1, 5, tzinfo=UTC)
SENTENCE = "12.3 ms; over 20 probes"


class HandClock:
    """Stands where it is put."""

    at = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    async def sleep_until(self, moment: datetime) -> None:
        self.at = moment


def size(path: Path) -> int:
    """Bytes of a store without free pages and without its log."""
    with sqlite3.connect(path) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages, free, page = (store.execute(f"PRAGMA {name}").fetchone()[0] for name in
                             ("page_count", "freelist_count", "page_size"))  # fmt: skip
    return int((pages - free) * page)


def book(folder: Path) -> System:
    known: dict[str, Any] = {
        "opsbook": 1, "system": "bench", "environments": {"here": {"policy": "open"}},
        "components": {"api": {"kind": "http", "url": "http://127.0.0.1:1"}},
        "checks": [{"id": f"c{n}", "observe": "http.up", "of": "api"} for n in range(CHECKS)],
    }  # fmt: skip
    (folder / "book.yaml").write_text(yaml.safe_dump(known))
    return in_environment(load_book(folder / "book.yaml", catalogue()))


async def pass_days(folder: Path) -> None:
    system, clock = book(folder), HandClock()
    setting = open_setting(system)
    setting.clock = clock
    part, path = Rollups(Watch(setting, system, None)), folder / ".opsbook" / "store.db"  # type: ignore[arg-type]
    grown: list[int] = []
    rolled = 0.0
    for day in range(DAYS):
        before = size(path)
        for hour in range(24):
            begin = START + timedelta(days=day, hours=hour)
            points = [
                history.Point(f"c{n}", (begin + timedelta(seconds=at + n / CHECKS)).timestamp(), "ok",
                              10 + 5 * math.sin(at + n), SENTENCE)
                for at in range(0, 3600, EVERY) for n in range(CHECKS)
            ]  # fmt: skip
            setting.write([lambda c, points=points: history.add(c, "bench", "here", points)])  # type: ignore[misc]
            clock.at = begin + timedelta(hours=1, minutes=2)
            spent = time.process_time()
            await part.tick(clock.at)
            rolled += time.process_time() - spent
        grown.append(size(path) - before)
    with sqlite3.connect(path) as store:
        rows = {name: store.execute(f"SELECT count(*) FROM {name}").fetchone()[0] / DAYS
                for name in ("check_results", "rollups")}  # fmt: skip
        store.execute("DELETE FROM check_results")
        store.commit()
    figures = size(path) / DAYS
    setting.close()
    label = f"{CHECKS} checks a minute"
    tell(Figure(f"{label}: results a day", rows["check_results"], "rows"))
    tell(Figure(f"{label}: figures a day", rows["rollups"], "rows"))
    tell(
        Figure(f"{label}: the store grows a day", sum(grown[1:]) / len(grown[1:]) / 1e6, "MB", aim="while raw is kept")
    )
    tell(Figure(f"{label}: … by its figures alone", figures / 1e6, "MB", aim="after `keep_raw`"))
    tell(Figure(f"{label}: making the figures of a day", rolled / DAYS, "s of processor"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        asyncio.run(pass_days(Path(name)))
