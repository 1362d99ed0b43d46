"""What else can go wrong around the engine: a full disk, a race, the clock, a stubborn child, a dead owner."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text, update

from opsbook.clock import SystemClock
from opsbook.engine import locks
from opsbook.engine.states import RunState
from opsbook.store.audit import verify
from opsbook.store.audit_head import verify_store
from opsbook.store.database import open_store, writing
from opsbook.store.tables import runs
from tests.faults.targets import effects
from tests.faults.world import OnFailure, World, last_json, op, procedure, until

SECONDS = 60


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_full_disk_stops_a_run_and_it_goes_on_when_there_is_room(world: World) -> None:
    steps = [op(f"s{n}", "blind", text="x", prints=6, seconds=0.2) for n in range(12)]
    run = await world.submit(procedure(*steps))
    engine = world.start_engine(run.id)
    await until(lambda: len(world.effects) > 1)
    # A few steps more fit; the limit is on the size of a file, for this one process.
    largest = max(path.stat().st_size for path in world.setting.folder.iterdir()) + 100_000
    resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    before = -1
    while before != len(world.effects):
        before = len(world.effects)
        await asyncio.sleep(1.5)
    assert before < 12 and engine.poll() is None
    resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    output, _ = await asyncio.to_thread(engine.communicate, timeout=SECONDS)
    assert last_json(output)["state"] in ("done", "ambiguous"), output.decode()
    assert len(world.effects) == len(set(world.effects))
    assert verify_store(world.setting.store, world.setting.head).broken is None


def race(address: str, name: str, trace: str, rounds: int) -> None:
    """Take and give back one lock again and again."""
    store = open_store(address)
    texts = [column.name for column in runs.c if not column.nullable and column.server_default is None]
    blank = dict.fromkeys(texts, "")
    for number in range(rounds):
        run = f"{name}{number}"
        with writing(store) as connection:
            row = {**blank, "id": run, "state": "running", "requester": name, "origin": "", "requested_at": 0.0}
            connection.execute(insert(runs).values(row))
        taken: object = None
        while not isinstance(taken, int):
            with writing(store) as connection:
                locks.queue(connection, run, ["kiln/test"], 0.0)
                taken = locks.take(connection, run, 0.0)
            if not isinstance(taken, int):
                time.sleep(0.002)
        with open(trace, "a") as file:
            file.write(f"in {run} {taken}\n")
            file.flush()
            os.fsync(file.fileno())
            file.write(f"out {run} {taken}\n")
        with writing(store) as connection:
            # Sometimes only the run ends, as after a crash of what gives back.
            if number % 2:
                locks.release(connection, run)
            connection.execute(update(runs).where(runs.c.id == run).values(state="done"))


def test_two_processes_never_hold_one_lock_together(world: World) -> None:
    rounds, trace = 100, str(world.folder / "trace")
    start = multiprocessing.get_context("spawn")
    address = str(world.setting.store.url)
    both = [start.Process(target=race, args=(address, name, trace, rounds)) for name in ("a", "b")]
    try:
        for one in both:
            one.start()
        for one in both:
            one.join(100)
            assert one.exitcode == 0
    finally:
        for one in both:
            one.kill()
    lines = [line.split() for line in Path(trace).read_text().splitlines()]
    assert len(lines) == 4 * rounds
    for entered, left in zip(lines[::2], lines[1::2], strict=True):
        assert entered == ["in", *left[1:]] and left[0] == "out"
    tokens = [int(line[2]) for line in lines[::2]]
    assert tokens == sorted(tokens) and len(set(tokens)) == 2 * rounds


class SetBack(SystemClock):
    """Goes an hour back each time somebody looks."""

    def __init__(self) -> None:
        self.looks = 0

    def now(self) -> datetime:
        self.looks += 1
        return datetime.now(UTC) - timedelta(hours=self.looks)


async def test_a_clock_that_is_set_back_changes_nothing(world: World) -> None:
    world.setting.clock = SetBack()
    steps = [op("one", text="a", undo="not a"), op("two", text="b", undo="not b", retry=1)]
    failing = op("three", do="fail", retry=1, on_failure=OnFailure.UNDO)
    view = await world.run(procedure(*steps, failing))
    assert view.state is RunState.UNDONE
    assert world.effects == ["one/0 a", "two/0 b", "two/0/undo not b", "one/0/undo not a"]
    assert verify_store(world.setting.store, world.setting.head).broken is None


STUBBORN = """---
title: A child that does not want to go
risk: safe
---
1. Start it.
   ```sh risk=safe timeout={timeout}
   trap '' TERM
   bash -c 'trap "" TERM; echo $$ >> {pids}; (trap "" TERM; echo $BASHPID >> {pids}; sleep 601) & sleep 602' &
   echo $$ >> {pids}
   sleep 603
   ```
"""


def stubborn(world: World, timeout: str) -> Path:
    pids = world.folder / "pids"
    folder = world.folder / "procedures"
    folder.mkdir()
    (folder / "stubborn.md").write_text(STUBBORN.format(timeout=timeout, pids=pids))
    return pids


def alive(pids: Path) -> list[int]:
    """Those of the noted processes that still run; one that waits to be reaped does not."""
    found = []
    for pid in map(int, pids.read_text().split()):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.append(pid)
    return found


async def test_a_child_that_ignores_the_end_and_forks_is_ended_after_a_time_out(world: World) -> None:
    pids = stubborn(world, "2s")
    service = world.service()
    view = await world.run(service.procedure("stubborn"))
    assert view.state is RunState.AMBIGUOUS and len(pids.read_text().split()) == 3
    await until(lambda: not alive(pids))


async def test_a_child_that_outlives_its_engine_is_ended_by_the_next_one(world: World) -> None:
    pids = stubborn(world, "10m")
    run = await world.submit(world.service().procedure("stubborn"))
    engine = world.start_engine(run.id)
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 3)
    engine.send_signal(signal.SIGKILL)
    await asyncio.to_thread(engine.communicate)
    view = await world.see(run.id)
    assert view.state is RunState.AMBIGUOUS
    await until(lambda: not alive(pids))


async def test_who_follows_takes_over_when_the_owner_dies(world: World) -> None:
    run = await world.submit(procedure(*(op(f"s{n}", text="x", seconds=0.3) for n in range(8))))
    owner = world.start_engine(run.id)
    await until(lambda: len(world.effects) >= 1)
    follower = world.start_engine(run.id)
    await until(lambda: len(world.effects) >= 3)
    owner.kill()
    owner.wait()
    output, _ = await asyncio.to_thread(follower.communicate, timeout=SECONDS)
    assert last_json(output)["state"] == "done"
    assert world.effects == [f"s{n}/0 x" for n in range(8)]


async def test_what_is_submitted_to_a_living_owner_is_executed_by_it(world: World) -> None:
    first = await world.submit(
        procedure(*(op(f"s{n}", text="x", seconds=0.4, of="other") for n in range(15)), lock=("a",))
    )
    owner = world.start_engine(first.id)
    await until(lambda: len(world.effects) >= 1)
    second = await world.submit(procedure(op("t", text="y"), name="second", lock=("b",)))
    output, _ = await asyncio.to_thread(world.start_engine(second.id).communicate, timeout=SECONDS)
    assert last_json(output)["state"] == "done"
    (attempt,) = [line for line in effects(world.target, "attempts") if "/t/0 " in line]
    assert attempt.endswith(f" {owner.pid}"), "whoever asked has followed"
    owner.communicate(timeout=SECONDS)


async def test_one_changed_byte_of_the_store_is_named(world: World) -> None:
    view = await world.run(procedure(op("one", text="a"), op("two", text="b")))
    assert verify(world.setting.store).broken is None
    with world.setting.store.connect() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    address = str(world.setting.store.url)
    world.close()
    path = world.setting.folder / "store.db"
    content = path.read_bytes()
    # The audit row of the second step's outcome is the only place where these words stand together.
    wanted = f"change ended{view.run.id}two/0".encode()
    assert content.count(wanted) == 1
    path.write_bytes(content.replace(wanted, wanted.replace(b"two", b"twp")))
    broken = verify(open_store(address)).broken
    assert broken is not None and broken.seq == 6


async def test_an_engine_whose_own_file_is_lost_starts_its_runs_again_from_the_store(world: World) -> None:
    run = await world.submit(procedure(op("one", text="a"), op("two", "blind", text="b"), op("three", text="c")))
    engine = world.start_engine(
        run.id, OPSBOOK_TEST_FAULT="three/0:middle", OPSBOOK_TEST_FAULT_MARK=str(world.folder / "died")
    )
    engine.communicate(timeout=SECONDS)
    for path in world.setting.folder.glob("engine.db*"):
        path.unlink()
    view = await world.see(run.id)
    assert (view.state, world.effects) == (RunState.DONE, ["one/0 a", "two/0 b", "three/0 c"])


def test_the_engine_s_process_is_a_real_one(world: World) -> None:
    """A run that there is not is a sentence, not a hang."""
    engine = world.start_engine("nothing")
    output, _ = engine.communicate(timeout=SECONDS)
    assert engine.returncode != 0 and b"there is no run 'nothing'" in output
    assert isinstance(engine, subprocess.Popen)
