"""What a durable step costs: opsbook (intent, outcome, lock and audit written) against raw DBOS, in the same run.

Also: how long a start takes to its first step, what 200 runs that wait for approval cost, and how fast the audit chain
is written and verified at 100,000 records.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import psutil
from dbos import DBOS
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
ROUNDS = 6
PARKED = 200
RECORDS = 100_000

BOOK = """
opsbook: 1
system: bench
environments: {test: {policy: open}, guarded: {policy: strict}}
default_environment: test
components: {target: {kind: nothing}}
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
        FIRST.append(time.perf_counter())
        return Done()

    async def end(self, key: str, change: Change) -> bool:
        return True


FIRST: list[float] = []


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
async def raw(steps: int) -> float:
    started = time.perf_counter()
    for _ in range(steps):
        await DBOS.run_step_async({"name": "nothing"}, _no_op)
    return time.perf_counter() - started


async def _no_op() -> dict[str, str]:
    return {"next": "go"}


def world(folder: Path, environment: str) -> tuple[Setting, System]:
    from opsbook.catalogue import catalogue

    (folder / "book.yaml").write_text(BOOK)
    system = in_environment(load_book(folder / "book.yaml", catalogue()), environment)
    return open_setting(system), system


async def raw_steps(folder: Path) -> float:
    async def never(run: str, previous: Any) -> Any:
        raise AssertionError

    engine = Durable(sqlite_address(folder), never, lambda run: None)
    await asyncio.to_thread(engine.launch)
    handle = await DBOS.start_workflow_async(raw, STEPS)
    spent = await handle.get_result()
    await engine.close()
    return spent / STEPS


async def own_steps(folder: Path) -> tuple[float, float]:
    setting, system = world(folder, "test")
    service = Service(setting, system)
    FIRST.clear()
    async with Owner(setting):
        plan = await service.plan(nothing(STEPS))
        asked = time.perf_counter()
        run = service.submit(plan, Wish())
        while not (state := RunState(find(setting.store, run.id).state)).ended:
            await asyncio.sleep(0.2)
        assert state is RunState.DONE
    setting.close()
    return (FIRST[-1] - FIRST[0]) / (STEPS - 1), FIRST[0] - asked


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
    result: dict[str, Any] = {"cores": os.cpu_count()}
    raws, owns, starts = [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            raws.append(await raw_steps(Path(folder)) * 1000)
        with tempfile.TemporaryDirectory() as folder:
            step, start = await own_steps(Path(folder))
            owns.append(step * 1000)
            starts.append(start * 1000)
    # The least of the rounds, which alternate: what else the machine does can only add.
    result["raw DBOS, ms a step"] = round(min(raws), 2)
    result["opsbook, ms a step"] = round(min(owns), 2)
    result["ratio"] = round(min(owns) / min(raws), 2)
    result["submitted to first step, ms"] = round(statistics.median(starts))
    with tempfile.TemporaryDirectory() as folder:
        result[f"{PARKED} runs parked"] = {key: round(value, 1) for key, value in (await parked(Path(folder))).items()}
    with tempfile.TemporaryDirectory() as folder:
        appended, verified = chain(Path(folder))
        result[f"audit at {RECORDS:,}"] = {
            "appended a second, by the thousand": round(appended),
            "appended a second, one by one": round(await single_appends(Path(folder))),
            "verified a second": round(verified),
        }
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    asyncio.run(main())
