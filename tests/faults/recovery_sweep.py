"""All of it: a thousand damages of a backup, and every place at which a restore, a drill and a switch are killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.faults import recovery_losses
from tests.faults.recovery_corruption import corrupt
from tests.faults.recovery_kills import all_kills, sweep
from tests.integration.buckets import new_bucket
from tests.integration.restoring import in_small_parts, prepared
from tests.integration.servers import new_postgres, own_folder

DAMAGES, MOMENTS, LOSSES, SEED = 1000, 20, 5, 3


@dataclass
class Swept:
    """What both sweeps say."""

    told: str
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.told


def recovery_sweep(_: str, tell: Callable[[str], None], damages: int = DAMAGES, moments: int = MOMENTS) -> Swept:
    """On a server of its own."""
    with new_postgres() as server, own_folder("recovery") as folder, pytest.MonkeyPatch.context() as patch:
        in_small_parts(patch)
        folder.chmod(0o755)
        shop = prepared(server, folder)
        asyncio.run(shop.do("backup.take", backup="nightly"))
        damaged = corrupt(shop, damages, SEED)
        tell(str(damaged))
        killed = sweep(shop, all_kills(SEED, moments))
        tell(str(killed))
    return Swept(f"{damaged}; {killed}", [*damaged.wrong, *killed.wrong])


def losses_sweep(_: str, tell: Callable[[str], None], times: int = LOSSES) -> Swept:
    """What is lost on the way of backups, prunes, restores and switches, each kind so many times."""
    with (
        new_postgres() as server, own_folder("losses") as folder, pytest.MonkeyPatch.context() as patch,
        new_bucket() as bucket,
    ):  # fmt: skip
        in_small_parts(patch)
        folder.chmod(0o755)
        bench = recovery_losses.Bench(prepared(server, folder), bucket)
        told = recovery_losses.sweep(bench, recovery_losses.all_losses(SEED, times), tell)
    return Swept(str(told), told.wrong)
