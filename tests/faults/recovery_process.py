"""A process that applies one change of a restore, as the engine's own would, and is killed in it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import opsbook.recovery.drills  # noqa: F401 - hands the judge of assertions down
from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import Change
from opsbook.connectors.registry import open_connections, registered


class Told:
    """What the executor writes, at once."""

    async def write(self, text: str) -> None:
        print(text, end="", flush=True)


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    system = in_environment(load_book(Path(told["book"]), catalogue()))
    async with open_connections(system) as connections:
        executor = registered().executors[told["kind"]](connections)
        print("begins", flush=True)
        await executor.apply(told["key"], Change(told["kind"], told["effect"]), None, Told())
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
