"""A seeded sample of the kill sweep over rotations and renewals; `make faults` does all of it."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.deadly import Fault
from tests.faults.secret_kills import SITES, secret_sweep
from tests.integration.cluster import needs_kubernetes

SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))
TRIED = 2


@pytest.mark.real
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("acme")
@pytest.mark.parametrize("site", sorted(SITES))
def test_a_killed_renewal_leaves_what_serves_and_loses_no_secret(site: str) -> None:
    dice = random.Random(SEED)
    count = secret_sweep(site, print, lambda every: dice.sample(every, TRIED))
    print(f"kill sample of {site} with seed {SEED}: {count}")
    assert count.wrong == []
    assert count.kills >= TRIED


@pytest.mark.real
@needs_kubernetes
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("kubernetes-systems")
def test_a_rotation_in_secrets_of_a_cluster_is_killed_between_its_places_and_goes_on() -> None:
    """Once for each of its procedures, at the border where the places may differ."""

    def border(every: list[Fault]) -> list[Fault]:
        wanted = {("distribute/0", "after"), ("withdraw/0", "after")}
        return [one for one in every if (one.key, one.place) in wanted]

    count = secret_sweep("kubernetes-rotation", print, border)
    assert count.wrong == []
    assert (count.kills, count.resumed) == (2, 2)
