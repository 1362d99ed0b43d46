"""A seeded sample of the sweeps over damaged backups and killed restores; `make faults` does all of it."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator

import pytest

from tests.faults import recovery_losses
from tests.faults.recovery_corruption import corrupt
from tests.faults.recovery_kills import Kill, all_kills, sweep
from tests.faults.recovery_losses import Bench, Loss
from tests.integration.buckets import new_bucket
from tests.integration.restoring import Shop, in_small_parts, prepared
from tests.integration.servers import new_postgres, own_folder

SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))
pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with new_postgres() as server, own_folder("faults") as folder, pytest.MonkeyPatch.context() as patch:
        in_small_parts(patch)
        folder.chmod(0o755)
        made = prepared(server, folder)
        asyncio.run(made.do("backup.take", backup="nightly"))
        yield made


def test_every_damage_of_a_backup_is_found_and_named(shop: Shop) -> None:
    told = corrupt(shop, 48, SEED)
    print(f"damages with seed {SEED}: {told}")
    assert told.wrong == []


@pytest.mark.timeout(300)
def test_a_killed_restore_leaves_the_old_or_the_new_database(shop: Shop) -> None:
    borders = all_kills(SEED, 0)
    kills = [borders[SEED % 5], Kill("postgres.switch_database", "", 0.02), Kill("drill.restore", "data")]
    told = sweep(shop, kills)
    print(f"kills with seed {SEED}: {told}")
    assert told.wrong == []
    assert told.kills == len(kills)


@pytest.mark.timeout(300)
def test_whatever_a_backup_loses_on_its_way_nothing_half_is_listed_and_the_next_succeeds() -> None:
    share = random.Random(SEED).random()
    with (
        new_postgres() as server, own_folder("losses") as folder, pytest.MonkeyPatch.context() as patch,
        new_bucket() as bucket,
    ):  # fmt: skip
        in_small_parts(patch)
        bench = Bench(prepared(server, folder), bucket)
        losses = [
            Loss("backup", "full", share, bucket=False), Loss("prune", "killed", share / 3, bucket=True),
            Loss("backup", "expired", share / 4, bucket=True),
        ]  # fmt: skip
        told = recovery_losses.sweep(bench, losses)
    print(f"losses with seed {SEED}: {told}")
    assert told.wrong == []
