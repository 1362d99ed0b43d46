"""The day when opsbook is down: a restore, a switch and a dump by the commands that were printed before."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from opsbook.book.catalogue import Risk
from opsbook.engine.commands import as_commands
from opsbook.engine.procedure import Plan, PlannedStep, Procedure, Step, StepKind
from opsbook.engine.record import as_json
from tests.integration.restoring import Shop, in_small_parts, prepared
from tests.integration.servers import BIN, new_postgres, own_folder

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
MISSING = [name for name in ("jq", "zstd") if shutil.which(name) is None]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with new_postgres() as server, own_folder("by-hand") as folder, pytest.MonkeyPatch.context() as patch:
        in_small_parts(patch)
        made = prepared(server, folder)
        asyncio.run(made.do("backup.take", backup="nightly"))
        yield made


async def by_hand(shop: Shop, operation: str, **parameters: Any) -> str:
    """Do what the commands of an operation say; what they printed."""
    changes = tuple(as_json(one) for one in await shop.plan(operation, **parameters))
    step = Step("one", StepKind.OP, "Do it", 1, {"operation": operation, "parameters": {}}, Risk.SAFE, idempotent=True)
    plan = Plan(Procedure("p", "P", Risk.SAFE, (step,)), {}, "test", "", (PlannedStep("one", Risk.SAFE, changes),), "0")
    env = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/"), **shop.system.variables}
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-c", as_commands(plan, shop.system)],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}")
async def test_a_database_is_restored_and_takes_its_place_without_opsbook(shop: Shop) -> None:
    await by_hand(shop, "postgres.restore", backup="nightly", to="twin")
    assert shop.schema("twin") == shop.schema("shop")
    everything = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} AS t"
    for table in shop.newest().manifest.database.tables:  # type: ignore[union-attr]
        assert shop.rows(everything.format(table.name), "twin") == shop.rows(everything.format(table.name)), table.name
    for query in ("SELECT * FROM top ORDER BY 1", "SELECT last_value, is_called FROM used",
                  "SELECT data FROM pg_largeobject"):  # fmt: skip
        assert shop.rows(query, "twin") == shop.rows(query), query

    shop.rows("DELETE FROM orders WHERE id <= 100")
    await by_hand(shop, "postgres.restore_tables", backup="nightly", tables=["public.orders"])
    assert shop.rows("SELECT count(*) FROM orders") == [(12_000,)]
    assert "opsbook_by_hand" not in shop.databases()

    shop.rows("CREATE TABLE since_then (id int)")
    await by_hand(shop, "postgres.switch_database", to="twin", kept="shop_kept")
    assert shop.rows("SELECT to_regclass('since_then') IS NULL, count(*) FROM orders") == [(True, 12_000)]
    assert shop.rows("SELECT to_regclass('since_then') IS NULL", "shop_kept") == [(False,)]
