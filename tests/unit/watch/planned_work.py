"""A watch over a book of nothing but plans, on a store of its own and a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import Connection, Engine

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.access import Actor
from opsbook.engine.setting import Setting
from opsbook.store.audit_head import HeadFile
from opsbook.store.database import reading, writing
from opsbook.store.tables import audit
from opsbook.store.watch_tables import messages
from opsbook.watch.contract import Watch

ANN = Actor("ann", "a test")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
"""A Saturday."""


class StillClock:
    """Stands until the test moves it."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep_until(self, moment: datetime) -> None:
        self.at = max(self.at, moment)


def system_of(folder: Path, **keys: Any) -> System:
    components = {
        "api": {"kind": "http", "url": "http://127.0.0.1:1"},
        "db": {"kind": "http", "url": "http://127.0.0.1:2"},
    }
    book = {
        "opsbook": 1, "system": "shop", "timezone": "Europe/Berlin", "environments": {"test": {"policy": "open"}},
        "components": components, "channels": {"ops": "json://127.0.0.1:1"},
        "checks": [
            {"id": "api-up", "observe": "http.up", "of": "api", "groups": ["daily"]},
            {"id": "db-up", "observe": "http.up", "of": "db", "groups": ["daily"]},
        ], **keys,
    }  # fmt: skip
    path = folder / "book.yaml"
    path.write_text(yaml.safe_dump(book))
    return in_environment(load_book(path, catalogue()))


def watch_of(folder: Path, store: Engine, at: datetime = NOW, **keys: Any) -> Watch:
    system = system_of(folder, **keys)
    setting = Setting(store, HeadFile(folder / "store.key", folder / "store.head"), folder, StillClock(at))
    return Watch(setting, system, None)  # type: ignore[arg-type]


def move(watch: Watch, to: datetime | timedelta) -> datetime:
    clock = watch.setting.clock
    assert isinstance(clock, StillClock)
    clock.at = to if isinstance(to, datetime) else clock.at + to
    return clock.at


def read(watch: Watch, ask: Callable[[Connection], Any]) -> Any:
    with reading(watch.setting.store) as connection:
        return ask(connection)


def write(watch: Watch, do: Callable[[Connection], Any]) -> Any:
    with writing(watch.setting.store) as connection:
        return do(connection)


def told(watch: Watch) -> list[str]:
    """The subjects of all messages, oldest first."""
    with reading(watch.setting.store) as connection:
        return [row.subject for row in connection.execute(messages.select().order_by(messages.c.id))]


def acts(watch: Watch) -> list[str]:
    """What the audit chain says was done, in order."""
    with reading(watch.setting.store) as connection:
        return [row.event for row in connection.execute(audit.select().order_by(audit.c.seq))]
