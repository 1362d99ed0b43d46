"""What a backup, a prune, a restore and a switch lose, at random points of each: the process, the server, the network,
the credential, the disk.

What must hold, whatever was lost and when: the live data is as it was; no half backup is listed, and every listed one
is whole to its last byte; no session, child or working database is left; and the next attempt succeeds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsbook.connectors.backups.catalogue import backup_named, backup_store, listing
from opsbook.connectors.backups.postgres_databases import WORKING
from opsbook.connectors.backups.reading import check_part
from opsbook.connectors.change import Change
from opsbook.connectors.process_tree import carriers
from opsbook.connectors.registry import open_connections, registered
from opsbook.errors import OpsbookError
from opsbook.store.audit_head import HeadFile
from tests.faults.refusing_wire import refusing_wire
from tests.integration.buckets import KEY, SECRET, Bucket, cut_wire
from tests.integration.restoring import Shop
from tests.integration.servers import until

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
LIVE = "SELECT count(*), sum(id), sum(total), md5(string_agg(coalesce(note, '-'), ',' ORDER BY id)) FROM orders"
SESSIONS = """
SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'opsbook%' AND pid <> pg_backend_pid()
"""
LARGEST_BACKUP = 900_000
"""About the bytes that a backup of the shop is uploaded in."""


@dataclass(frozen=True)
class Loss:
    """What is lost, by which operation, where."""

    operation: str
    """backup, prune, restore, switch"""
    what: str
    """killed, server, cut, refused, expired, full"""
    share: float
    """How far it has come, from 0 to 1."""
    bucket: bool

    def __str__(self) -> str:
        return f"{self.operation} {'in a bucket' if self.bucket else 'in a folder'}: {self.what} at {self.share:.2f}"


@dataclass
class Lost:
    """What became of them."""

    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.ended.items()))
        return f"{sum(self.ended.values())} losses ({kinds}); {len(self.wrong)} wrong"


OF_FOLDERS = {"backup": ("killed", "server", "full"), "prune": ("killed",), "restore": ("server", "full"),
              "switch": ("server",)}  # fmt: skip
OF_BUCKETS = {"backup": ("killed", "cut", "refused", "expired", "server"), "prune": ("killed", "cut", "refused"),
              "restore": ("cut", "expired")}  # fmt: skip


def all_losses(seed: int, times: int) -> list[Loss]:
    """Each kind so many times, at random points."""
    chance = random.Random(seed)
    return [
        Loss(operation, what, chance.random(), bucket)
        for bucket, kinds in ((False, OF_FOLDERS), (True, OF_BUCKETS))
        for operation, whats in kinds.items()
        for what in whats
        for _ in range(times)
    ]


@dataclass
class Bench:
    """The shop and a bucket, and where its backups lie now."""

    shop: Shop
    bucket: Bucket
    number: int = 0

    def __post_init__(self) -> None:
        os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        (self.shop.folder / "signer").mkdir(exist_ok=True)
        signer = self.shop.folder / "signer"
        self.shop.signer = HeadFile(signer / "key", signer / "head")  # type: ignore[assignment]

    def place(self, loss: Loss, port: int = 0) -> None:
        """From now on the book says that backups go there."""
        to = self.bucket.address(port=port) if loss.bucket else str(self.shop.store)
        self.shop.keys = {"backup": {"to": to, "retry": 1, "keep": {"last": 2}}}

    async def plan(self, loss: Loss) -> list[Change]:
        """What the operation would do now; all that it needs is there."""
        self.number += 1
        if loss.operation == "backup":
            return await self.shop.plan("backup.take", backup="nightly")
        if loss.operation == "prune":
            while len(self.stored()) < 3:
                await self.shop.do("backup.take", backup="nightly")
            return await self.shop.plan("backup.prune", backup="nightly")
        if not self.stored():
            await self.shop.do("backup.take", backup="nightly")
        name = f"new_{self.number}"
        if loss.operation == "restore":
            return await self.shop.plan("postgres.restore", backup="nightly", to=name)
        await self.shop.do("postgres.restore", backup="nightly", to=name)
        return await self.shop.plan("postgres.switch_database", to=name)

    def stored(self) -> list[Any]:
        """Every listed backup, read to its last byte."""
        system = self.shop.system
        store = backup_store(system, backup_named(system, "nightly"))
        try:
            found = listing(store, "nightly").backups
            for one in found:
                assert one.whole, f"{one.folder} is listed, and lacks {one.absent}"
                for part in one.manifest.parts:
                    check_part(store, one.manifest, part)
            return list(found)
        finally:
            store.close()


def sweep(bench: Bench, losses: list[Loss], tell: Callable[[str], None] = lambda _: None) -> Lost:
    """Each loss on the same server."""
    told = Lost()
    for loss in losses:
        try:
            how = asyncio.run(_one(bench, loss))
            told.ended[f"{loss.what} {loss.operation}: {how}"] += 1
            tell(f"{loss}: {how}")
        except (AssertionError, OpsbookError) as error:
            told.ended["wrong"] += 1
            told.wrong.append(f"{loss}: {error}")
            tell(told.wrong[-1])
    return told


async def _one(bench: Bench, loss: Loss) -> str:
    shop = bench.shop
    bench.place(loss)
    changes = await bench.plan(loss)
    before, names = shop.rows(LIVE), shop.databases()
    key = f"loss{bench.number}/step"
    with _lossy(bench, loss) as largest:
        ends = [_applied(shop, change, f"{key}/{n}", loss, largest) for n, change in enumerate(changes)]
    how = "failed" if "failed" in ends else "killed" if "killed" in ends else "went well"
    bench.place(loss)
    assert shop.rows(LIVE) == before, "the live data is not as it was" if loss.operation != "switch" else ""
    async with open_connections(shop.system, shop.signer) as connections:
        for n, change in enumerate(changes):
            assert await registered().executors[change.kind](connections).end(f"{key}/{n}", change), "it lives on"
            assert not carriers(f"{key}/{n}"), "its children live on"
    until(lambda: shop.rows(SESSIONS, "postgres") == [(0,)], 30, "no session is left")
    bench.stored()
    for n, change in enumerate(changes):  # the next attempt of the engine has the same key
        await shop.apply(change, f"{key}/{n}")
    _left(bench, loss, changes, names)
    assert shop.rows(LIVE) == before
    return how


def _left(bench: Bench, loss: Loss, changes: list[Change], names: set[str]) -> None:
    shop = bench.shop
    assert not [one for one in shop.databases() if one.startswith(WORKING)], "a working database is left"
    found = bench.stored()
    if loss.operation == "prune":
        assert len(found) == 2, f"{len(found)} backups are left, not the two that are kept"
    if loss.operation == "switch":
        kept = changes[0].effect["kept"]
        assert kept in shop.databases()
        shop.server.sql(f'DROP DATABASE "{kept}" WITH (FORCE)', database="postgres")
    for name in shop.databases() - names - {"shop"}:
        shop.server.sql(f'DROP DATABASE "{name}" WITH (FORCE)', database="postgres")
    if not loss.bucket:
        folder = shop.store / "test" / "nightly"
        manifests = {one.parent for one in folder.glob("*/manifest.json")}
        assert {one for one in folder.iterdir() if one.is_dir()} <= manifests, "what a dead attempt wrote is left"


@contextmanager
def _lossy(bench: Bench, loss: Loss) -> Iterator[int]:
    """While the block lasts, what is lost is lost; the bytes that a file may have at most, 0 for any."""
    sent = int(loss.share * LARGEST_BACKUP)
    if loss.what == "cut":
        back = (sent,) if loss.operation == "restore" else ()
        with cut_wire(bench.bucket.port, *([sent // 3] * 3), back=back) as wire:
            bench.place(loss, wire.port)
            yield 0
    elif loss.what == "expired":
        with refusing_wire(bench.bucket.port, sent) as port:
            bench.place(loss, port)
            yield 0
    elif loss.what == "refused":
        os.environ["AWS_SECRET_ACCESS_KEY"] = "of-another"
        try:
            yield 0
        finally:
            os.environ["AWS_SECRET_ACCESS_KEY"] = SECRET
    elif loss.what == "server":
        lost = threading.Timer(loss.share, bench.shop.server.stop, ("immediate",))
        lost.start()
        try:
            yield 0
        finally:
            lost.join()
            bench.shop.server.start()
    else:
        yield 1000 + sent // 20 if loss.what == "full" else 0


def _applied(shop: Shop, change: Change, key: str, loss: Loss, largest: int) -> str:
    """Apply it in a process of its own, which is killed on its way where that is the loss; how it ended."""
    told = {"book": str(shop.system.book.path), "kind": change.kind, "effect": change.effect, "key": key,
            "signer": str(shop.folder / "signer"), "largest": largest}  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.losses_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(told) + "\n")
    child.stdin.close()
    last, deadline = "", time.monotonic() + PATIENCE
    for line in child.stdout:
        assert time.monotonic() < deadline, "it is stuck"
        last = line
        if line == "begins\n" and loss.what == "killed":
            time.sleep(loss.share * 1.5)
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGKILL)
    child.stdout.close()
    code = child.wait()
    if code == -signal.SIGKILL:
        return "killed"
    assert code == 0 or (code == 1 and last.startswith("failed: ")), f"it ended with {code}: {last}"
    return "failed" if code else "went well"
