"""A book, a store and an engine process for the tests, all in one folder."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsbook.book.catalogue import Risk
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.access import Actor
from opsbook.engine.digest import digest_of
from opsbook.engine.procedure import OnFailure, Parameter, Plan, Procedure, Step, StepKind
from opsbook.engine.service import Service, Wish
from opsbook.engine.setting import Setting, open_setting
from opsbook.engine.views import View, view_of
from opsbook.engine.watcher import Watcher
from opsbook.store.runs import RunRow
from tests.faults import targets
from tests.integration.servers import BUSY

_opening = threading.Lock()
"""Migrations are made by one thread at a time."""

BOOK = """
opsbook: 1
system: kiln
environments:
  test: {{policy: {policy}, disposable: true}}
components:
  target: {{kind: target, folder: {folder}}}
  other: {{kind: target, folder: {folder}}}
policies:
  two-persons: {{disruptive: {{approvals: 1, approvers: []}}, break_glass: [admin]}}
  typed: {{disruptive: {{confirm: true}}}}
  {more}
"""


def op(id: str, operation: str = "verified", **values: Any) -> Step:
    """A step with one of the test operations."""
    step_keys = ("timeout", "retry", "when", "save", "expect", "needs", "sensitive", "on_failure")
    keys = {key: values.pop(key) for key in step_keys if key in values}
    name = f"test.{operation}"
    from opsbook.operations.registry import OPERATIONS

    spec = OPERATIONS[name].spec
    values.setdefault("of", "target")
    body = {"operation": name, "parameters": values}
    return Step(id, StepKind.OP, f"Step {id}", 1, body, spec.risk, spec.idempotent, **keys)


def person(id: str, *items: str) -> Step:
    body = {"text": "", "items": list(items)}
    return Step(id, StepKind.PERSON, f"Step {id}", 1, body, Risk.READ, True)


def procedure(
    *steps: Step, name: str = "work", lock: tuple[str, ...] = (), params: Sequence[Parameter] = ()
) -> Procedure:
    risk = max((step.risk for step in steps), key=lambda one: one.rank)
    return Procedure(
        name, name.title(), risk, tuple(steps), tuple(params), lock, revision=digest_of([s.id for s in steps])
    )


@dataclass
class World:
    """Everything of one test."""

    folder: Path
    policy: str = "open"
    more: str = ""
    actor: Actor = field(default_factory=lambda: Actor("ann", "a test"))
    setting: Setting = field(init=False)
    system: System = field(init=False)

    def __post_init__(self) -> None:
        self.target.mkdir(parents=True, exist_ok=True)
        book = self.folder / "book.yaml"
        if not book.exists():
            book.write_text(BOOK.format(policy=self.policy, folder=self.target, more=self.more))
        self.system = in_environment(load_book(book, catalogue()))
        with _opening:
            self.setting = open_setting(self.system)

    @property
    def target(self) -> Path:
        return self.folder / "target"

    @property
    def effects(self) -> list[str]:
        """What happened to the target, without the run's id: `step/index text`."""
        return [line.partition("/")[2] for line in targets.effects(self.target)]

    @property
    def attempts(self) -> list[str]:
        lines = targets.effects(self.target, "attempts")
        return [line.partition("/")[2].partition(" ")[0] for line in lines]

    def service(self, name: str = "") -> Service:
        return Service(self.setting, self.system, Actor(name, "a test") if name else self.actor)

    async def plan(self, wanted: Procedure, **values: Any) -> Plan:
        return await self.service().plan(wanted, values=values)

    async def submit(self, wanted: Procedure, wish: Wish | None = None, **values: Any) -> RunRow:
        return self.service().submit(await self.plan(wanted, **values), wish or Wish(confirmed=True))

    async def run(self, wanted: Procedure, wish: Wish | None = None, **values: Any) -> View:
        """Submit and see through in this process."""
        run = await self.submit(wanted, wish, **values)
        return await self.see(run.id)

    async def see(self, run: str, *, wait: bool = False, seconds: float = 60.0) -> View:
        watcher = Watcher(self.setting, lambda view: None, lambda text: None, wait=wait)
        async with asyncio.timeout(seconds):
            return await watcher.see_through(run)

    def view(self, run: str) -> View:
        return view_of(self.setting.store, run)

    def start_engine(self, run: str, **env: str) -> subprocess.Popen[bytes]:
        """An engine process that sees the run through."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.engine_process", str(self.folder), run],
            env={**os.environ, **env},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def close(self) -> None:
        self.setting.close()


async def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a state; fails where even a busy machine would have had it."""
    async with asyncio.timeout(seconds * BUSY):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def last_json(text: bytes) -> Any:
    """The last line of an engine process's output."""
    return json.loads(text.decode().strip().splitlines()[-1])


__all__ = ["OnFailure", "Parameter", "Wish", "World", "last_json", "op", "person", "procedure", "until"]
