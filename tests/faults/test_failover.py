"""A seeded sample of the sweep over killed failovers; `make faults` does all of it."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from opsbook.connectors.change import Change
from tests.faults.failover_kills import IN_CONTAINERS, all_kills, sweep
from tests.integration.failing_containers import on_compose
from tests.integration.failing_over import failing_pair
from tests.integration.hands import hands_of
from tests.integration.podman import lacking

SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))
pytestmark = pytest.mark.real


@pytest.mark.timeout(400)
def test_a_killed_failover_goes_on_and_ends_with_one_primary() -> None:
    kills = all_kills(SEED)
    chosen = random.Random(SEED).sample([kill for kill in kills if not kill.rebuild], 1)
    chosen += random.Random(SEED).sample([kill for kill in kills if kill.rebuild], 1)
    with failing_pair() as pair:
        told = sweep(pair, chosen)
    print(f"kills with seed {SEED}: {told}")
    assert told.wrong == []
    assert told.kills == len(chosen)


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("compose")
@pytest.mark.skipif(bool(lacking()), reason=lacking() or "podman")
def test_a_killed_failover_of_containers_goes_on_and_leaves_nothing_beside_them() -> None:
    chosen = random.Random(SEED).sample(IN_CONTAINERS, 1)
    with on_compose() as pair:

        async def there_and_back() -> None:
            async with hands_of(pair.system()) as hands:
                change = await hands.only("postgres.fence", of="database", planned=True)
                assert (await hands.apply(change))["fenced"] is True
                assert await asyncio.to_thread(pair.primaries) == []
                assert isinstance(change.inverse, Change)
                await hands.apply(change.inverse)

        asyncio.run(there_and_back())
        assert pair.primaries() == [pair.one], "a fence that is undone lets its server serve again"
        told = sweep(pair, chosen)
    print(f"kills in containers: {told}")
    assert told.wrong == []
    assert told.kills == len(chosen)
