"""A process that is a worker of a shared store, until it is killed or its folder holds a file `leave`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from opsbook.engine.executor import executing
from tests.faults.world import World


async def work(folder: Path, lease: float) -> None:
    world = World(folder)
    async with executing(world.setting, print, lease) as executor:
        await executor.settled()
        (folder / "ready").touch()
        while not (folder / "leave").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await executor.drain()
    world.close()
