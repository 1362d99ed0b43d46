"""Kills a restore and a switch with SIGKILL at every border and in between, and looks what is used then.

What must hold, whatever the place: the database that is used is the old one or the new one, whole, never a mixture and
never half; the next attempt succeeds; no working database and no scratch server is left behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsbook.connectors.backups.postgres_databases import WORKING
from opsbook.connectors.backups.scratch import PREFIX
from opsbook.connectors.change import Change
from opsbook.connectors.registry import open_connections, registered
from tests.faults.recovery_corruption import problems
from tests.integration.restoring import Shop

PATIENCE = 120.0
PLACES = ("schema", "data", "indexes", "statistics", "verified")
"""What the executor tells when a phase has ended."""


@dataclass(frozen=True)
class Kill:
    """Where the process dies: when it tells something, or so many seconds after it began."""

    operation: str
    place: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.operation} at {self.place or f'{self.seconds:.3f} s'}"


@dataclass
class Survived:
    """What became of the kills."""

    kills: int = 0
    missed: int = 0
    """It had ended before the kill came."""
    old: int = 0
    new: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = f"{self.kills} kills ({self.missed} came too late): {self.old} times the old database was used"
        return f"{told} afterwards, {self.new} times the new one; {len(self.wrong)} wrong"


def all_kills(seed: int, at_random: int) -> list[Kill]:
    """Every border, and so many moments."""
    chance = random.Random(seed)
    borders = [Kill("postgres.restore", place) for place in PLACES]
    borders += [Kill("drill.restore", place) for place in PLACES[:4]]
    kinds = ("postgres.restore", "drill.restore")
    moments = [Kill(chance.choice(kinds), "", chance.uniform(0, 3)) for _ in range(at_random)]
    switches = [Kill("postgres.switch_database", "", chance.uniform(0, 0.4)) for _ in range(at_random)]
    return [*borders, *moments, *switches, Kill("postgres.switch_database", "is what was")]


def sweep(shop: Shop, kills: list[Kill]) -> Survived:
    """Each kill on the same server; what it made is dropped before the next."""
    told = Survived()
    for number, kill in enumerate(kills):
        try:
            asyncio.run(_one(shop, kill, number, told))
        except AssertionError as error:
            told.wrong.append(f"{kill}: {error}")
    return told


async def _one(shop: Shop, kill: Kill, number: int, told: Survived) -> None:
    new, key = f"new_{number}", f"kill{number}/step/0"
    if kill.operation == "postgres.switch_database":
        await shop.do("postgres.restore", backup="nightly", to=new)
        parameters: dict[str, Any] = {"to": new}
    else:
        parameters = {"backup": "nightly", **({"to": new} if kill.operation == "postgres.restore" else {})}
    shop.rows("INSERT INTO orders (customer, total) VALUES (1, 1)")
    (change,) = await shop.plan(kill.operation, **parameters)
    live = shop.rows("SELECT count(*) FROM orders")[0][0]
    late = _killed(shop, change, key, kill)
    told.kills += 1
    told.missed += late

    used = shop.rows("SELECT count(*) FROM orders")[0][0]
    assert used in (live, 12000), f"{used} rows: neither the old database ({live}) nor the new one"
    told.old, told.new = told.old + (used == live), told.new + (used != live)
    async with open_connections(shop.system, shop.signer) as connections:
        assert await registered().executors[change.kind](connections).end(key, change), "its sessions live"
    result = await shop.apply(change, key)
    if kill.operation == "drill.restore":
        assert result["good"], result["problems"]
    left = [name for name in shop.databases() if name.startswith(WORKING)]
    assert not left, f"left behind: {left}"
    assert not list((shop.store / "test").glob(f"{PREFIX}*")), "a scratch server was left behind"
    if kill.operation == "postgres.switch_database":
        assert shop.rows("SELECT count(*) FROM orders") == [(12000,)]
        assert shop.rows("SELECT count(*) FROM orders", change.effect["kept"]) == [(live,)]
        assert isinstance(change.inverse, Change)
        await shop.apply(change.inverse)
    assert shop.rows("SELECT count(*) FROM orders") == [(live,)]
    assert problems(shop) == []
    for name in shop.databases() & {new}:
        shop.server.sql(f'DROP DATABASE "{name}"', database="postgres")


def _killed(shop: Shop, change: Change, key: str, kill: Kill) -> bool:
    """Apply it in a process that is killed there; whether that came too late."""
    told = {"book": str(shop.system.book.path), "kind": change.kind, "effect": change.effect, "key": key}
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.recovery_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "src"},
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(told) + "\n")
    child.stdin.close()
    deadline = time.monotonic() + PATIENCE
    try:
        for line in child.stdout:
            assert time.monotonic() < deadline, "it is stuck"
            if line == "begins\n" and not kill.place:
                time.sleep(kill.seconds)
                break
            if kill.place and kill.place in line:
                break
            if line == "done\n":
                return True
        else:
            raise AssertionError("the process ended by itself")
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    return False
