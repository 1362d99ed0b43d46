"""A small book, its watch on a store of the test, and a clock that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import Engine

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.checks.evaluate import State
from opsbook.engine.setting import Setting
from opsbook.store.audit_head import HeadFile
from opsbook.watch.contract import Signal, Watch

START = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
BOOK: dict[str, Any] = {
    "opsbook": 1,
    "system": "shop",
    "environments": {"production": {"policy": "open"}},
    "components": {
        "database": {"kind": "postgres", "dsn": "postgresql://localhost/none"},
        "api": {"kind": "http", "url": "http://127.0.0.1:1", "depends_on": ["database"]},
    },
}


class HandClock:
    """Stands still until the test moves it."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    async def sleep_until(self, moment: datetime) -> None:
        self.at = max(self.at, moment)

    def move(self, **by: float) -> datetime:
        self.at += timedelta(**by)
        return self.at


def a_system(folder: Path, **keys: Any) -> System:
    folder.mkdir(exist_ok=True)
    file = folder / "book.yaml"
    file.write_text(yaml.safe_dump({**BOOK, **keys}))
    return in_environment(load_book(file, catalogue()))


def a_watch(folder: Path, store: Engine, clock: HandClock, **keys: Any) -> Watch:
    system = a_system(folder / "book", **keys)
    head = HeadFile(folder / "store.key", folder / "store.head", None)
    setting = Setting(store, head, folder, clock=clock)
    return Watch(setting, system, Unreached())  # type: ignore[arg-type]


class Unreached:
    """Connections of a test that asks nobody."""

    def forget(self) -> None: ...


def a_signal(state: str, at: datetime, fingerprint: str = "check:db-up", **keys: Any) -> Signal:
    source = keys.pop("source", "check")
    check = fingerprint.removeprefix("check:") if source == "check" else ""
    return Signal(fingerprint, source, at, State(state), keys.pop("title", "database"), check=check, **keys)
