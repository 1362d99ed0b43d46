"""The process that leads hears at once what another one put into the outbox of a shared store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from opsbook.store import calls
from opsbook.store.database import open_store
from opsbook.watch import called
from opsbook.watch.called import Called
from opsbook.watch.waking import TELLING, Bell
from tests.integration.eventually import eventually
from tests.integration.servers import Postgres
from tests.unit.watch.on_call import Desk

PATIENCE = 60.0
HANG_UP = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'opsbook-calls'"


async def test_another_process_calls_and_after_a_break_again(
    tmp_path: Path, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres_server.sql("DROP DATABASE IF EXISTS called WITH (FORCE)", "CREATE DATABASE called", database="postgres")
    address = postgres_server.url(database="called").replace("postgresql://", "postgresql+psycopg://")
    desk, bell, stop = Desk(tmp_path, open_store(address)), Bell(), asyncio.Event()
    monkeypatch.setattr(called, "AGAIN", 0.1)

    def elsewhere(name: str) -> None:
        """A fault whose page another process puts into the outbox."""
        with monkeypatch.context() as patch:
            patch.setattr(calls, "ITSELF", "another")
            desk.bad(name)

    hearing = asyncio.create_task(Called(desk.watch).keep(stop))
    try:
        await eventually(lambda: bell.rings("messages") == 1, PATIENCE)
        desk.bad("check:own")
        elsewhere("check:a")
        await eventually(lambda: bell.rings("messages") > 1, PATIENCE)
        assert all(bell.rings(part) == bell.rings("messages") for part in TELLING)
        postgres_server.sql(HANG_UP, database="postgres")
        await eventually(lambda: bell.rings("messages") > 2, PATIENCE)
        before = bell.rings("messages")
        elsewhere("check:b")
        await eventually(lambda: bell.rings("messages") > before, PATIENCE)
    finally:
        stop.set()
        await asyncio.wait_for(hearing, PATIENCE)
        bell.close()
        desk.watch.setting.close()


def test_a_call_is_for_others_and_for_one_environment() -> None:
    here = ("shop", "production")
    assert calls.concerns("another shop/production", *here)
    assert not calls.concerns("another shop/staging", *here)
    assert not calls.concerns(f"{calls.ITSELF} shop/production", *here)
    assert not calls.concerns("", *here)
