"""An app over a small book and an empty store, and tokens for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from opsbook.api.app import make_app
from opsbook.api.house import House, Limits
from opsbook.api.tokens import Bounds, make
from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.access import Actor
from opsbook.engine.setting import Setting, open_setting
from opsbook.recovery.packaged import packaged_procedures
from opsbook.watch.contract import Watch

PLANTED = {"PLANTED_PASSWORD": "hunter2-planted", "PLANTED_TOKEN": "tok-planted-91", "PLANTED_HOOK": "hook-planted-7"}
BOOK = """
opsbook: 1
system: kiln
environments:
  production: {policy: two, env_file: env}
  rehearsal: {policy: open, disposable: true, env_file: env}
default_environment: production
policies: {two: {disruptive: {approvals: 1}, destructive: {confirm: true}}}
components:
  api: {kind: http, url: "http://127.0.0.1:1", headers: {Authorization: "Bearer ${PLANTED_TOKEN}"}}
  database: {kind: postgres, dsn: "postgresql://kiln:${PLANTED_PASSWORD}@127.0.0.1:1/kiln"}
  reports: {kind: postgres, dsn: "postgresql://me:hunter2-planted@127.0.0.1:1/reports"}
checks:
  - {id: api-up, observe: http.up, of: api}
channels: {hook: "https://chat.example/${PLANTED_HOOK}"}
access:
  viewer: [vera]
  responder: [rob]
  operator: [ann, ben]
  admin: [cleo]
"""
CAREFUL = (
    "---\ntitle: Careful\nrisk: disruptive\n---\n1. Do it.\n   ```sh id=do risk=disruptive\n   echo done\n   ```\n"
)
LOOK = "---\ntitle: Look\nrisk: read\n---\n1. Look.\n   ```sh id=look risk=read\n   date\n   ```\n"


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    async def sleep_until(self, moment: datetime) -> None:
        self.at = moment

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class Doors:
    """The app, its house, and clients with tokens."""

    house: House
    app: FastAPI
    clock: Time

    @property
    def setting(self) -> Setting:
        return self.house.watch.setting

    def token(self, owner: str = "cleo", role: str = "admin", days: float = 30, **bounds: Any) -> str:
        """The text of a new token."""
        access, admin = self.house.watch.system.model.access, Actor("cleo", "test", groups=frozenset())
        return make(self.setting, access, admin, f"of {owner}", Bounds(role, **bounds), timedelta(days=days), owner)[0]

    def client(self, owner: str = "cleo", role: str = "admin", **bounds: Any) -> httpx.AsyncClient:
        """Somebody with a token."""
        return self.bearing(self.token(owner, role, **bounds))

    def bearing(self, token: str) -> httpx.AsyncClient:
        """Somebody who sends this token; none where it is empty."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        through = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=("192.0.2.7", 4711))
        return httpx.AsyncClient(transport=through, base_url="http://127.0.0.1", headers=headers)


@pytest.fixture
def open_doors(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Doors]]:
    """Makes an app over the book, or over another text of it."""
    settings: list[Setting] = []
    monkeypatch.delenv("OPSBOOK_STORE", raising=False)

    def made(book: str = BOOK, limits: Limits | None = None, store: str = "", **house: Any) -> Doors:
        if store:
            monkeypatch.setenv("OPSBOOK_STORE", store)
        (tmp_path / "book.yaml").write_text(book)
        (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in PLANTED.items()))
        (tmp_path / "procedures").mkdir(exist_ok=True)
        (tmp_path / "procedures" / "careful.md").write_text(CAREFUL)
        (tmp_path / "procedures" / "look.md").write_text(LOOK)
        (tmp_path / ".opsbook").mkdir(exist_ok=True)
        shutil.copy(migrated, tmp_path / ".opsbook" / "store.db")
        system = in_environment(load_book(tmp_path / "book.yaml", catalogue()))
        setting = open_setting(system, packaged_procedures)
        setting.clock = Time()
        settings.append(setting)
        watch = Watch(setting, system, cast(Any, None))
        many = Limits(address=(1e6, 1e6), token=(1e6, 1e6))
        built = House(watch, frozenset({"127.0.0.1"}), limits or many, **house)
        return Doors(built, make_app(built), setting.clock)

    yield made
    for one in settings:
        one.close()


@pytest.fixture
def doors(open_doors: Callable[..., Doors]) -> Doors:
    """The app over the usual book."""
    return open_doors()
