"""A process that applies one change of a backup, a prune or a restore, in which no file may exceed a size. It may be
killed in it."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

import opsbook.recovery.drills  # noqa: F401 - hands the judge of assertions down
from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import Change
from opsbook.connectors.registry import open_connections, registered
from opsbook.errors import OpsbookError
from opsbook.store.audit_head import HeadFile
from tests.faults.recovery_process import Told


async def main() -> int:
    told = json.loads(sys.stdin.readline())
    system, key = in_environment(load_book(Path(told["book"]), catalogue())), Path(told["signer"])
    async with open_connections(system, HeadFile(key / "key", key / "head")) as connections:
        executor = registered().executors[told["kind"]](connections)
        if told["largest"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (told["largest"], told["largest"]))
        print("begins", flush=True)
        try:
            await executor.apply(told["key"], Change(told["kind"], told["effect"]), None, Told())
        except OpsbookError as error:
            print(f"failed: {error.message}", flush=True)
            return 1
    print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
