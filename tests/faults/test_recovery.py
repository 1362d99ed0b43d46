"""A seeded sample of the sweeps over damaged backups and killed restores; `make faults` does all of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from tests.faults.recovery_corruption import corrupt
from tests.faults.recovery_kills import Kill, all_kills, sweep
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
