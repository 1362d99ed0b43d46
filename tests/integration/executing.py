"""Applying one change in a test, as a run does: through the executor of its kind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.change import Change, Done
from opsbook.connectors.registry import open_connections, registered
from opsbook.engine.compile import compile_procedure
from opsbook.engine.values import change_of, fill

RUN = f"run-{os.getpid()}"
"""The run that changes of a test belong to. Whoever ends a change ends what carries its key anywhere on this host:
other tests, in processes of their own, must not have the same one."""


@dataclass
class Output:
    """A sink that remembers the beginning, and how much it was given."""

    text: str = ""
    characters: int = 0
    written: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, text: str) -> None:
        self.characters += len(text)
        if len(self.text) < 2_000_000:
            self.text += text
        self.written.set()
        await asyncio.sleep(0)


async def apply(
    system: System, change: Change, key: str = f"{RUN}/step/0", out: Output | None = None
) -> dict[str, Any]:
    """The result of a change."""
    async with open_connections(system) as connections:
        done = await registered().executors[change.kind](connections).apply(key, change, None, out or Output())
    assert isinstance(done, Done)
    return dict(done.result)


async def end(system: System, change: Change, key: str = f"{RUN}/step/0") -> bool:
    async with open_connections(system) as connections:
        return await registered().executors[change.kind](connections).end(key, change)


def argv(script: str, **effect: Any) -> Change:
    """A script as an `sh` fence plans it."""
    return Change("argv", {"argv": ["bash", "-euo", "pipefail", "-c", script], "env": {}, **effect})


async def planned(system: System, text: str, names: Mapping[str, Any], front: str = "") -> Change:
    """The change of the only fence of a procedure."""
    procedure = compile_procedure(f"---\ntitle: T\n{front}---\n{text}\n", "t.md", system, system.book.catalogue)
    (step,) = procedure.steps
    return await change_of(step, fill(step, names, system), system)
