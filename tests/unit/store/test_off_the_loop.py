"""The guard that watches over all tests of the watch and the API."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text
from tests.unit.off_the_loop import nothing_blocks_the_loop

from opsbook.store.database import reading


async def test_asking_the_store_on_the_loop_is_found(store: Engine) -> None:
    told: dict[str, Any] = {"reading": reading, "store": store, "text": text}
    source = "async def tick():\n    with reading(store) as connection:\n        connection.execute(text('SELECT 1'))\n"
    exec(compile(source, "/src/opsbook/watch/slow.py", "exec"), told)
    with nothing_blocks_the_loop() as found:
        await told["tick"]()
        with reading(store) as connection:
            connection.execute(text("SELECT 1"))
    assert found == ["watch/slow.py:3 tick"]
