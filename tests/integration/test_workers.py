"""Workers of a PostgreSQL store: each run is executed by one of them, and by another where that one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from opsbook.engine import acts
from opsbook.engine.access import Actor
from opsbook.engine.executor import executed_by
from opsbook.engine.states import RunState
from opsbook.store.audit_head import verify_store
from tests.faults.targets import effects
from tests.faults.warm import Warm
from tests.faults.worker_process import work
from tests.faults.world import World, op, person, procedure, until
from tests.integration.servers import Postgres, new_postgres
from tests.integration.servers import until as soon

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
LEASE = 6.0
SECONDS = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with new_postgres(max_connections="100") as one:
        yield one


@pytest.fixture
def address(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database that is the store."""
    name = f"store_{uuid4().hex[:8]}"
    server.sql(f"CREATE DATABASE {name}", database="postgres")
    monkeypatch.setenv("OPSBOOK_STORE", server.url(database=name))
    return server.url(database=name)


@pytest.fixture
def world(address: str, tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path / "world")
    yield one
    one.close()


@contextmanager
def workers(world: World, address: str, count: int) -> Iterator[list[Warm]]:
    """So many workers, all of which have joined."""
    env = {"OPSBOOK_STORE": address}
    started = [Warm(work, world.folder, LEASE, log=world.folder / f"log{n}", env=env) for n in range(count)]
    try:
        soon(lambda: executed_by(world.setting).count("pid ") == count, SECONDS, "all have joined")
        yield started
    finally:
        (world.folder / "leave").touch()
        for one in started:
            if one.wait(20) is None:
                one.kill()


def states(world: World, runs: list[str]) -> Counter[RunState]:
    return Counter(world.view(run).state for run in runs)


async def test_a_killed_workers_runs_are_taken_up_by_the_other_and_nothing_happens_twice(
    world: World, address: str
) -> None:
    wanted = [
        procedure(*(op(f"s{n}", text="x", seconds=0.1) for n in range(3)), name=f"work{number}", lock=(f"own{number}",))
        for number in range(20)
    ]
    with workers(world, address, 2) as (first, second):
        runs = [(await world.submit(one)).id for one in wanted]
        await until(lambda: len(world.effects) >= 6, SECONDS)
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: states(world, runs)[RunState.DONE] == 20, SECONDS)
        who = {world.view(run).run.executor for run in runs}
        assert any(f"pid {second.pid}" in one for one in who)
    happened = Counter(line.split()[0] for line in effects(world.target))
    assert len(happened) == 60 and set(happened.values()) == {1}
    log = "".join(path.read_text() for path in world.folder.glob("log*"))
    assert "which was interrupted" in log
    assert verify_store(world.setting.store, world.setting.head).broken is None


async def test_a_worker_that_was_stopped_and_goes_on_writes_nothing_for_a_run_that_another_has(
    world: World, address: str
) -> None:
    slow = procedure(*(op(f"s{n}", "repeatable", text="x", seconds=1.0) for n in range(3)), name="slow")
    with workers(world, address, 1) as (first,):
        run = (await world.submit(slow)).id
        await until(lambda: len(world.attempts) == 1, SECONDS)
        os.kill(first.pid, signal.SIGSTOP)
        try:
            env = {"OPSBOOK_STORE": address}
            second = Warm(work, world.folder, LEASE, log=world.folder / "log-second", env=env)
            await until(lambda: world.view(run).state.ended, SECONDS)
        finally:
            os.kill(first.pid, signal.SIGCONT)
        assert world.view(run).state is RunState.DONE
        # It finds its lease lost, and is a worker again under a new one.
        await until(lambda: executed_by(world.setting).count("pid ") == 2, SECONDS)
        again = (await world.submit(procedure(op("a", text="y"), name="again"))).id
        await until(lambda: world.view(again).state is RunState.DONE, SECONDS)
    second.wait(20)
    happened = Counter(line.split("/", 1)[1] for line in effects(world.target))
    assert happened["s1/0 x"] == happened["s2/0 x"] == 1, "it went on with a run that was not its own any more"
    assert "lost its lease" in (world.folder / "log0").read_text()


async def test_a_run_that_waits_belongs_to_nobody_and_goes_on_wherever_a_worker_is(world: World, address: str) -> None:
    with workers(world, address, 1):
        run = (await world.submit(procedure(op("a", text="x"), person("ask", "look"), op("b", text="y")))).id
        await until(lambda: world.view(run).waits, SECONDS)
        await until(lambda: not executed_by(world.setting, run), SECONDS)
    (world.folder / "leave").unlink()
    acts.tick(world.setting, world.view(run), Actor("bob", "a test"), 0, "")
    with workers(world, address, 1):
        await until(lambda: world.view(run).state is RunState.DONE, SECONDS)
    assert world.effects == ["a/0 x", "b/0 y"]


async def test_where_no_worker_lives_whoever_asks_for_a_run_executes_it_and_no_other(world: World) -> None:
    other = (await world.submit(procedure(op("a", text="other"), name="other"))).id
    view = await world.run(procedure(op("a", text="x"), name="mine"))
    assert view.state is RunState.DONE and world.effects == ["a/0 x"]
    assert world.view(other).state is RunState.SUBMITTED
    assert executed_by(world.setting) == ""
    assert (await world.see(other)).state is RunState.DONE


def lives(address: str) -> list[tuple[str]]:
    with psycopg.connect(address) as connection:
        return connection.execute("SELECT holder FROM leases WHERE name LIKE 'worker:%'").fetchall()


BOOK = "opsbook: 1\nsystem: kiln\nenvironments: {test: {policy: open}}\ncomponents: {here: {kind: files, path: .}}\n"
FIRE = "---\ntitle: Fire\nrisk: safe\n---\n1. Fire.\n   ```sh risk=safe\n   echo fired >> fired\n   ```\n"


def test_the_command_line_follows_a_worker_and_a_worker_leaves_when_it_is_told(address: str, tmp_path: Path) -> None:
    (tmp_path / "procedures").mkdir()
    (tmp_path / "procedures" / "fire.md").write_text(FIRE)
    (tmp_path / "book.yaml").write_text(BOOK)
    env = {**os.environ, "OPSBOOK_STORE": address}
    opsbook = [sys.executable, "-m", "opsbook"]
    log = (tmp_path / "log").open("wb")
    worker = subprocess.Popen([*opsbook, "worker", "--lease", "20s"], cwd=tmp_path, env=env, stdout=log, stderr=log)
    try:
        soon(lambda: b"executes runs of kiln" in (tmp_path / "log").read_bytes(), SECONDS, "the worker is ready")
        command = [*opsbook, "run", "fire", "--yes"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        assert "executed by a worker" in done.stderr and f"pid {worker.pid}" in done.stderr
        assert (tmp_path / "fired").read_text() == "fired\n"
        assert [f"pid {worker.pid}" in holder for (holder,) in lives(address)] == [True]
    finally:
        worker.terminate()
        assert worker.wait(SECONDS) == 0
    assert lives(address) == [], "its lease was given back"
