"""Lists come in pages: whoever follows `next` sees everything once, and in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from tests.unit.api.conftest import Doors
from tests.unit.api.test_watch_routes import WATCHED

from opsbook.engine.states import RunState
from opsbook.store.database import writing
from opsbook.store.drills import DrillRow, note
from opsbook.store.tables import runs

MANY = 5
LISTS = {
    "incidents": "id", "incidents?open=true": "id", "alerts": "id", "alerts/history": "id", "approvals": "run",
    "actions": "id", "windows": "start", "silences": "id", "checklists": "id", "drills": "run",
}  # fmt: skip
"""Path → what is unique in it."""


async def paged(client: httpx.AsyncClient, path: str, limit: int) -> AsyncIterator[list[dict[str, Any]]]:
    """The pages of a list, to the last."""
    cursor: str | None = ""
    while cursor is not None:
        told = (await client.get(f"/api/v1/{path}", params={**_words(path), "limit": limit, "cursor": cursor})).json()
        yield told["items"]
        cursor = told["next"]


def _words(path: str) -> dict[str, str]:
    return dict([path.partition("?")[2].split("=")]) if "?" in path else {}


async def whole(client: httpx.AsyncClient, path: str, limit: int) -> list[dict[str, Any]]:
    return [one async for page in paged(client, path, limit) for one in page]


@pytest.fixture
def doors(open_doors: Callable[..., Doors]) -> Doors:
    return open_doors(WATCHED)


async def test_every_list_gives_everything_once_and_in_order_page_by_page(doors: Doors) -> None:
    ann = doors.client("ann", "operator")
    opened = await filled(doors, ann)
    for path, key in LISTS.items():
        (all_,) = [page async for page in paged(ann, path, 500)]
        found = [one[key] for one in all_]
        assert len(set(found)) == len(found) >= MANY - 2, path
        for limit in (1, 3, len(found), len(found) + 1):
            pages = [page async for page in paged(ann, path, limit)]
            assert [one[key] for page in pages for one in page] == found, (path, limit)
            assert all(pages) and len(pages) == -(-len(found) // limit), (path, limit)
    mine = [one["id"] for one in await whole(ann, "incidents", 2) if one["id"] in opened]
    assert mine == [*opened[:1:-1], *opened[1::-1]], "those that go on come first, the newest first"


async def filled(doors: Doors, ann: httpx.AsyncClient) -> list[str]:
    """Five of each, some of one moment; the two oldest incidents are over. The incidents, oldest first."""
    opened = []
    until = "2026-11-22T18:00:00+00:00"
    for number in range(MANY):
        doors.clock.move(number % 2)
        made = await ann.post("/api/v1/incidents", json={"title": f"down {number}"})
        opened.append(made.json()["incident"]["id"])
        answers = [
            made,
            await ann.post(f"/api/v1/incidents/{opened[-1]}/actions", json={"text": "mend it"}),
            await ann.post("/api/v1/silences", json={"checks": ["api-up"], "reason": "known", "until": until}),
            await ann.post("/api/v1/checklists", json={"name": "handover", "subject": f"shift:{number}"}),
            await ann.post("/api/v1/runs", json={"procedure": "careful", "new": True}),
        ]
        assert all(one.status_code in (200, 201, 202) for one in answers), [one.text for one in answers]
    with writing(doors.setting.store) as connection:
        # As the engine does it.
        connection.execute(update(runs).values(state=str(RunState.APPROVAL)))
    note(doors.setting.store, [
        DrillRow(
            f"r{number}", "database", float(number // 2), "production", "weekly", "restore", "nightly", "", "{}", "[]",
            None, None, 60.0, None, None, None, True,
        )
        for number in range(MANY)
    ])  # fmt: skip
    opened = sorted(opened, key=[one["id"] for one in await whole(ann, "incidents", 500)][::-1].index)
    firing = [{"status": "firing", "fingerprint": f"f{n}", "labels": {"alertname": f"Slow{n}"}} for n in range(MANY)]
    await ann.post("/api/v1/alertmanager", json={"version": "4", "status": "firing", "groupKey": "g", "alerts": firing})
    doors.clock.move(1)
    for id in opened[:2]:
        assert (await ann.post(f"/api/v1/incidents/{id}/resolve", json={"text": "well"})).status_code == 200
    return opened


async def test_an_incident_that_goes_on_is_on_the_first_page_however_many_came_after_it(doors: Doors) -> None:
    ann = doors.client("ann", "operator")
    first = (await ann.post("/api/v1/incidents", json={"title": "for weeks"})).json()["incident"]["id"]
    for _ in range(3):
        doors.clock.move(60)
        id = (await ann.post("/api/v1/incidents", json={"title": "short"})).json()["incident"]["id"]
        await ann.post(f"/api/v1/incidents/{id}/resolve", json={"text": "well"})
    told = (await ann.get("/api/v1/incidents?limit=2")).json()
    assert told["items"][0]["id"] == first and len(told["items"]) == 2 and told["next"]


async def test_a_cursor_of_no_page_is_refused(doors: Doors) -> None:
    client = doors.client()
    # [1.0, "a\u0000"], [1.0, "\ud800"], [false, 1.0, "\u0000"], [99999999999999999999999], [1 << 60]: of no row that
    # a store can have.
    for cursor in ("WzEuMCwgImFcdTAwMDAiXQ", "WzEuMCwgIlx1ZDgwMCJd", "W2ZhbHNlLCAxLjAsICJcdTAwMDAiXQ",
                   "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5XQ", "WzExNTI5MjE1MDQ2MDY4NDY5NzZd", "!!"):  # fmt: skip
        for path in (*LISTS, "runs", "audit"):
            answer = await client.get(f"/api/v1/{path.partition('?')[0]}", params={"cursor": cursor})
            assert answer.status_code == 400, (path, cursor, answer.text)
