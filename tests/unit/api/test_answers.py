"""Reads have tags and pages; who asks too often waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.api.conftest import Doors

from opsbook.api.house import Limits
from opsbook.api.rates import MOST_ASKERS, Rates
from opsbook.store.audit import Act, append
from opsbook.store.database import writing
from opsbook.store.history import Point, record


async def test_a_read_that_has_not_changed_is_answered_without_its_body(doors: Doors) -> None:
    client = doors.client()
    first = await client.get("/api/v1/checks")
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    for named in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        again = await client.get("/api/v1/checks", headers={"If-None-Match": named})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag), named
    store = doors.setting.store
    record(store, "kiln", "production", [Point("api-up", doors.setting.now(), "critical", 0.0, "it is down")], 1e6)
    changed = await client.get("/api/v1/checks", headers={"If-None-Match": tag})
    assert changed.status_code == 200 and changed.headers["ETag"] != tag
    assert changed.json()["results"][0]["state"] == "critical"


@pytest.mark.parametrize("limit", [1, 3, 7, 20])
async def test_pages_give_everything_once_and_in_order(doors: Doors, limit: int) -> None:
    with writing(doors.setting.store) as connection:
        append(connection, [Act(float(n), "ann", "test", "noted", detail={"n": n}) for n in range(17)])
    client = doors.client()
    found, cursor = [], ""
    while True:
        told = (await client.get("/api/v1/audit", params={"limit": limit, "cursor": cursor})).json()
        found += [one["seq"] for one in told["items"]]
        assert len(told["items"]) <= limit
        if told["next"] is None:
            break
        cursor = told["next"]
    assert found == sorted(found, reverse=True) and len(found) == 18 == len(set(found))


async def test_runs_that_were_asked_for_at_once_are_paged_too(doors: Doors) -> None:
    client = doors.client("ann", "operator")
    made = {(await client.post("/api/v1/runs", json={"procedure": "careful", "new": True})).json()["id"] for _ in "123"}
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        told = (await client.get("/api/v1/runs", params={"limit": 1, "cursor": cursor})).json()
        found += [one["id"] for one in told["items"]]
        cursor = told["next"]
    assert len(found) == 3 and set(found) == made


async def test_who_asks_too_often_is_told_how_long_to_wait(open_doors: Callable[..., Doors]) -> None:
    doors = open_doors(limits=Limits(address=(1e6, 1e6), token=(1.0, 3.0)))
    client, other = doors.client("ann", "viewer"), doors.client("ben", "viewer")
    codes = [(await client.get("/api/v1/me")).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    answer = await client.get("/api/v1/me")
    assert int(answer.headers["Retry-After"]) >= 1 and answer.json()["type"].endswith("too-many-requests")
    assert (await other.get("/api/v1/me")).status_code == 200
    doors.clock.move(1.0)
    assert (await client.get("/api/v1/me")).status_code == 200


async def test_an_address_that_asks_too_often_waits_before_it_is_known(open_doors: Callable[..., Doors]) -> None:
    doors = open_doors(limits=Limits(address=(1.0, 2.0)))
    nobody = doors.bearing("")
    codes = [(await nobody.get("/api/v1/me")).status_code for _ in range(3)]
    assert codes == [401, 401, 429]


def test_a_bucket_never_gives_more_than_its_rate_and_forgets_who_was_long_gone() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    taken = 0
    for step in range(1000):
        now[0] = step / 100
        taken += rates.wait("one", 5.0, 10.0) == 0.0
    assert 59 <= taken <= 60
    now[0] -= 5
    rates.wait("one", 5.0, 10.0)
    for number in range(MOST_ASKERS + 10):
        rates.wait(f"other {number}", 1.0, 1.0)
    assert len(rates._buckets) == MOST_ASKERS
