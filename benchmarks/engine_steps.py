"""What a durable step costs: opsbook (intent, outcome, lock and audit written) against raw DBOS and against Ansible.

Also: how long a start takes to its first step, what 200 runs that wait for approval cost, and how fast the audit chain
is written and verified at 100,000 records. All of it in the same run.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import ansible_peer
import psutil
from dbos import DBOS
from figures import Figure, tell
from sqlalchemy import Engine

from opsbook.book.catalogue import Component, Risk
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.connectors.change import Change, Done
from opsbook.connectors.contract import Connections, Connector
from opsbook.connectors.registry import connector, executor
from opsbook.engine.durable import Durable, sqlite_address
from opsbook.engine.owner import Owner
from opsbook.engine.procedure import Procedure, Step, StepKind
from opsbook.engine.service import Service, Wish
from opsbook.engine.setting import Setting, open_setting
from opsbook.engine.states import RunState
from opsbook.engine.views import find
from opsbook.operations.contract import Facts, OperationParameters, Verdict
from opsbook.operations.registry import operation
from opsbook.store.audit import Act, append, verify
from opsbook.store.database import open_store, writing

STEPS = 200
ROUNDS = 4
PARKED = 200
RECORDS = 100_000

BOOK = """
opsbook: 1
system: bench
environments: {test: {policy: open}, guarded: {policy: strict}}
default_environment: test
components: {target: {kind: nothing}}
"""
EMPTY_BOOK = """
opsbook: 1
system: bench
environments: {test: {policy: open}}
components: {front: {kind: http, url: "http://127.0.0.1:1"}}
"""
EMPTY_PROCEDURE = """---
title: Nothing
risk: safe
---
1. Do nothing.
   ```sh risk=safe
   true
   ```
"""


class NothingComponent(Component):
    kind: Literal["nothing"]


@connector(NothingComponent)
class NothingConnector(Connector):
    pass


@executor("nothing")
class DoNothing:
    def __init__(self, connections: Connections) -> None:
        pass

    async def apply(self, key: str, change: Change, cursor: Any, out: Any) -> Done:
        MOMENTS.append(Moment.now())
        return Done()

    async def end(self, key: str, change: Change) -> bool:
        return True


@dataclass(frozen=True)
class Moment:
    """Seconds of wall time and of this process's CPU time."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Moment:
        return cls(time.perf_counter(), time.process_time())

    def each(self, since: Moment, steps: int) -> Moment:
        """What one of these steps took."""
        return Moment((self.wall - since.wall) / steps, (self.cpu - since.cpu) / steps)


MOMENTS: list[Moment] = []
"""When each no-op was reached."""


@operation(
    "bench.nothing", Risk.DISRUPTIVE, of="nothing", doc="Nothing.", idempotent=False, parameters=OperationParameters
)
class _Nothing:
    async def plan(self, parameters: OperationParameters, facts: Facts) -> AsyncIterator[Change]:
        yield Change("nothing", {"of": parameters.of})

    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        return "unknown"


def nothing(steps: int, name: str = "nothing") -> Procedure:
    body = {"operation": "bench.nothing", "parameters": {"of": "target"}}
    made = [Step(f"s{n}", StepKind.OP, f"Step {n}", 1, body, Risk.DISRUPTIVE, False) for n in range(steps)]
    return Procedure(name, "Nothing", Risk.DISRUPTIVE, tuple(made))


@DBOS.workflow(name="raw")
async def raw(steps: int) -> list[float]:
    started = Moment.now()
    for _ in range(steps):
        await DBOS.run_step_async({"name": "nothing"}, _no_op)
    each = Moment.now().each(started, steps)
    return [each.wall, each.cpu]


async def _no_op() -> dict[str, str]:
    return {"next": "go"}


def world(folder: Path, environment: str) -> tuple[Setting, System]:
    from opsbook.catalogue import catalogue

    (folder / "book.yaml").write_text(BOOK)
    system = in_environment(load_book(folder / "book.yaml", catalogue()), environment)
    return open_setting(system), system


async def raw_steps(folder: Path) -> Moment:
    """DBOS with the settings that opsbook gives it: WAL, every commit on the disk."""

    async def never(run: str, previous: Any) -> Any:
        raise AssertionError

    engine = Durable(sqlite_address(folder), never, lambda run: None)
    await asyncio.to_thread(engine.launch)
    try:
        return await _raw_run()
    finally:
        await engine.close()


async def plain_steps(folder: Path) -> Moment:
    """DBOS on SQLite as it comes."""
    address = f"sqlite:///{folder / 'plain.db'}"
    DBOS(config={"name": "plain", "system_database_url": address, "log_level": "ERROR", "run_admin_server": False})
    await asyncio.to_thread(DBOS.launch)
    try:
        return await _raw_run()
    finally:
        DBOS.destroy()
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())


async def _raw_run() -> Moment:
    handle = await DBOS.start_workflow_async(raw, STEPS)
    return Moment(*await handle.get_result())


async def own_steps(folder: Path) -> tuple[Moment, float]:
    """One step, and the seconds from the submission of a run to its first step."""
    setting, system = world(folder, "test")
    service = Service(setting, system)
    MOMENTS.clear()
    async with Owner(setting):
        plan = await service.plan(nothing(STEPS))
        asked = time.perf_counter()
        run = service.submit(plan, Wish())
        while not (state := RunState(find(setting.store, run.id).state)).ended:
            await asyncio.sleep(0.2)
        assert state is RunState.DONE
    setting.close()
    return MOMENTS[-1].each(MOMENTS[0], STEPS - 1), MOMENTS[0].wall - asked


def command_seconds() -> float:
    """The whole command `opsbook run` of a procedure with one step that does nothing, from the shell."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "procedures").mkdir()
        (folder / "book.yaml").write_text(EMPTY_BOOK)
        (folder / "procedures" / "nothing.md").write_text(EMPTY_PROCEDURE)
        command = [sys.executable, "-m", "opsbook", "run", "nothing", "--yes"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)  # makes the store
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - started


async def parked(folder: Path) -> dict[str, float]:
    setting, system = world(folder, "guarded")
    service = Service(setting, system)
    process = psutil.Process()
    async with Owner(setting):
        await asyncio.sleep(1)
        before = process.memory_info().rss
        started = time.perf_counter()
        plan = await service.plan(nothing(5))
        ids = [service.submit(plan, Wish()).id for _ in range(PARKED)]
        while any(find(setting.store, one).state != RunState.APPROVAL for one in ids[-3:]):
            await asyncio.sleep(0.1)
        took = time.perf_counter() - started
        after = process.memory_info().rss
        process.cpu_percent()
        await asyncio.sleep(3)
        busy = process.cpu_percent()
    setting.close()
    return {"MB more": (after - before) / 2**20, "CPU %": busy, "seconds to park": took}


def chain(folder: Path) -> tuple[float, float]:
    store: Engine = open_store(f"sqlite:///{folder}/chain.db")
    started = time.perf_counter()
    for start in range(0, RECORDS, 1000):
        acts = [
            Act(float(n), "ann", "here", "change ended", "r", f"s{n}/0", 1, "p", "d" * 64, "done", {"n": n})
            for n in range(start, start + 1000)
        ]
        with writing(store) as connection:
            append(connection, acts)
    written = time.perf_counter() - started
    started = time.perf_counter()
    found = verify(store)
    assert found.broken is None and found.records == RECORDS
    return RECORDS / written, RECORDS / (time.perf_counter() - started)


async def single_appends(folder: Path) -> float:
    store = open_store(f"sqlite:///{folder}/chain.db")
    started = time.perf_counter()
    for n in range(300):
        with writing(store) as connection:
            append(connection, [Act(float(n), "ann", "here", "did", f"x{n}")])
    return 300 / (time.perf_counter() - started)


async def main() -> None:
    plains, raws, owns, starts, plays, commands = [], [], [], [], [], []
    ansible = await asyncio.to_thread(ansible_peer.installed)
    if isinstance(ansible, str):
        print(f"(the peer Ansible is absent: {ansible})")
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            plains.append(await plain_steps(Path(folder)))
        with tempfile.TemporaryDirectory() as folder:
            raws.append(await raw_steps(Path(folder)))
        with tempfile.TemporaryDirectory() as folder:
            step, start = await own_steps(Path(folder))
            owns.append(step)
            starts.append(start)
        commands.append(await asyncio.to_thread(command_seconds))
        if not isinstance(ansible, str):
            plays.append(await asyncio.to_thread(ansible_peer.play, ansible))
    # The least of the rounds, which alternate: what else the machine does can only add.
    own, raw_one, plain = (min(one.wall for one in some) * 1000 for some in (owns, raws, plains))
    own_cpu, raw_cpu = (min(one.cpu for one in some) * 1000 for some in (owns, raws))
    what = "no-op step"
    tell(Figure(what, own, "ms", "DBOS on SQLite as it comes", plain, "at most 2"))
    tell(Figure(what, own, "ms", "DBOS, WAL and synchronous as ours", raw_one, "at most 2"))
    tell(Figure(f"{what}, CPU", own_cpu, "ms", "DBOS, WAL and synchronous as ours", raw_cpu))
    command = Figure("whole command, one step", min(commands) * 1000, "ms")
    if plays:
        task, whole = min(task for task, _ in plays) * 1000, min(whole for _, whole in plays) * 1000
        tell(Figure(what, own, "ms", "Ansible, local playbook, a task", task, "at most 0.02"))
        command = replace(command, peer="ansible-playbook, one task", peer_value=whole)
    tell(command)
    tell(Figure("submitted to its first step", statistics.median(starts) * 1000, "ms"))
    with tempfile.TemporaryDirectory() as folder:
        for name, value in (await parked(Path(folder))).items():
            tell(Figure(f"{PARKED} runs parked", value, name))
    with tempfile.TemporaryDirectory() as folder:
        appended, verified = chain(Path(folder))
        at = f"audit chain at {RECORDS:,}"
        tell(Figure(f"{at}, written by the thousand", appended, "records/s"))
        tell(Figure(f"{at}, written one by one", await single_appends(Path(folder)), "records/s"))
        tell(Figure(f"{at}, verified", verified, "records/s"))


if __name__ == "__main__":
    print("\nA durable step, parked runs, the audit chain")
    asyncio.run(main())
