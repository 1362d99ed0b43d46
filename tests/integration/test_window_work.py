"""A maintenance window on a real nginx: it closes the system, works, lets users in again, and closes itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.registry import open_connections
from opsbook.engine.executor import executing
from opsbook.engine.setting import open_setting
from opsbook.recovery.packaged import packaged_procedures
from opsbook.store import run_lists, silences
from opsbook.store import windows as rows
from opsbook.store.database import reading
from opsbook.store.windows import Came
from opsbook.watch.contract import Watch
from opsbook.watch.silences import Silences, here
from opsbook.watch.windows import Windows
from tests.integration.test_operations_maintenance import NGINX, Nginx, nginx

pytestmark = [pytest.mark.real, pytest.mark.skipif(not Path(NGINX).exists(), reason="not installed: nginx")]
__all__ = ["nginx"]

WORK = """---
title: {title}
risk: safe
---
1. Work, while users read a banner.

   ```sh risk=safe idempotent
   touch {folder}/began; while [ ! -e {folder}/go-on ]; do sleep 0.1; done; {last}
   ```
"""


def book_of(folder: Path, component: dict[str, Any], last: str) -> Path:
    start = datetime.now(UTC) - timedelta(minutes=1)
    book = {
        "opsbook": 1, "system": "shop", "environments": {"test": {"policy": "open"}},
        "components": {"proxy": component, "left": {"kind": "files", "path": str(folder / "left")}},
        "checks": [{"id": "nothing-left", "observe": "files.count", "of": "left", "critical": "> 0"}],
        "maintenance": {"of": "proxy", "message": "Back soon.", "checks": ["nothing-left"]},
        "windows": [{"id": "upkeep", "at": start.isoformat(), "lasts": "30m", "components": ["proxy"],
                     "procedures": ["maintenance-enter", "work"]}],
    }  # fmt: skip
    (folder / "procedures").mkdir()
    (folder / "left").mkdir()
    (folder / "left" / "half-done").touch()
    (folder / "procedures" / "work.md").write_text(WORK.format(title="Upkeep", folder=folder, last=last))
    path = folder / "book.yaml"
    path.write_text(yaml.safe_dump(book))
    return path


@pytest.fixture
async def opened(tmp_path: Path, nginx: Nginx, request: pytest.FixtureRequest) -> AsyncIterator[Watch]:
    system = in_environment(load_book(book_of(tmp_path, nginx.component, request.param), catalogue()))
    setting = open_setting(system, packaged_procedures)
    try:
        async with open_connections(system) as connections, executing(setting):
            yield Watch(setting, system, connections)
    finally:
        setting.close()


async def ticked(watch: Watch, until: Any) -> Came:
    """Tick as the loop does, until something is so."""
    async with asyncio.timeout(60):
        while True:
            now = watch.setting.clock.now()
            await Windows(watch).tick(now)
            await Silences(watch).tick(now)
            with reading(watch.setting.store) as connection:
                (row,) = rows.came(connection, here(watch.system), since=0.0)
            if until(row):
                return row
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("opened", ["true"], indirect=True)
async def test_a_window_closes_the_system_works_and_lets_users_in(
    opened: Watch,
    nginx: Nginx,
    tmp_path: Path,
) -> None:
    row = await ticked(opened, lambda _: (tmp_path / "began").exists())
    assert (row.state, nginx.get()[0]) == ("open", 503)
    with reading(opened.setting.store) as connection:
        where, now = here(opened.system), opened.setting.now()
        assert silences.covering(connection, where, "", "proxy", now)
    (tmp_path / "go-on").touch()
    row = await ticked(opened, lambda row: "nothing-left critical" in row.note)
    assert (row.state, nginx.get()[0]) == ("open", 503), "what is not well keeps users out"
    (tmp_path / "left" / "half-done").unlink()
    row = await ticked(opened, lambda row: not row.open)
    assert nginx.get()[0] == 200
    with reading(opened.setting.store) as connection:
        assert not silences.holding(connection, where, opened.setting.now()), (
            "it ends with the work, not with the window"
        )
        ran = run_lists.between(connection, *where.values(), 0.0, opened.setting.now() + 1)
    assert [run.procedure for run in ran] == ["maintenance-enter", "work", "maintenance-leave"]
    assert {run.requester for run in ran} == {"opsbook"}


@pytest.mark.parametrize("opened", ["false"], indirect=True)
async def test_what_failed_is_told_and_the_system_stays_closed(opened: Watch, nginx: Nginx, tmp_path: Path) -> None:
    (tmp_path / "go-on").touch()
    row = await ticked(opened, lambda row: "failed" in row.note)
    assert (row.state, nginx.get()[0]) == ("open", 503)
