"""A process that is the engine: sees one run of a world through and prints how it stands."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

from tests.faults.world import World


async def main(folder: str, run: str) -> None:
    world = World(Path(folder))
    view = await world.see(run, seconds=100)
    world.close()
    print(json.dumps({"state": view.run.state, "message": view.run.message}), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main(*sys.argv[1:]))
