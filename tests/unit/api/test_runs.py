"""Runs over the network: what was seen is what is asked for, and nobody approves what they asked for."""

from __future__ import annotations

import json

from tests.unit.api.conftest import Doors

from opsbook.store.audit import newest
from opsbook.store.database import reading
from opsbook.store.runs import run_of

RUNS = "/api/v1/runs"


async def digest_of(doors: Doors, procedure: str = "careful") -> str:
    told = await doors.client("ann", "operator").post(f"/api/v1/procedures/{procedure}/plan", json={})
    return str(told.json()["digest"])


async def test_the_plan_that_was_seen_is_asked_for_and_another_is_refused(doors: Doors) -> None:
    ann = doors.client("ann", "operator")
    digest = await digest_of(doors)
    refused = await ann.post(RUNS, json={"procedure": "careful", "digest": "0" * 64})
    assert refused.status_code == 409 and "not the one that you saw" in refused.json()["detail"]
    asked = await ann.post(RUNS, json={"procedure": "careful", "digest": digest[:12]})
    assert asked.status_code == 202 and asked.json()["digest"] == digest
    assert asked.headers["Location"] == f"{RUNS}/{asked.json()['id']}"
    same = await ann.post(RUNS, json={"procedure": "careful", "digest": digest})
    assert same.status_code == 200 and same.json()["id"] == asked.json()["id"]
    another = await ann.post(RUNS, json={"procedure": "careful", "new": True})
    assert another.status_code == 202 and another.json()["id"] != asked.json()["id"]


async def test_who_acts_is_the_owner_of_the_token_within_its_role(doors: Doors) -> None:
    text = doors.token("ann", "responder")
    run = (await doors.bearing(text).post(RUNS, json={"procedure": "careful"})).json()
    assert run["requester"] == "ann"
    assert run["origin"] == f"192.0.2.7, token {text.split('_')[1]}"
    with reading(doors.setting.store) as connection:
        kept = run_of(connection, run["id"])
    assert kept is not None and json.loads(kept.asked_as)["most"] == "responder"
    (record,) = [one.act for one in newest(doors.setting.store, 9) if one.act.event == "requested"]
    assert (record.actor, record.origin) == ("ann", run["origin"])


async def test_whoever_asked_never_approves_with_whatever_token(doors: Doors) -> None:
    run = (await doors.client("ann", "operator").post(RUNS, json={"procedure": "careful"})).json()
    yes = {"digest": run["digest"]}
    for role in ("operator", "admin"):
        own = await doors.client("ann", role).post(f"{RUNS}/{run['id']}/approve", json=yes)
        assert own.status_code == 409 and "cannot approve it" in own.json()["detail"]
    lesser = await doors.client("ben", "responder").post(f"{RUNS}/{run['id']}/approve", json=yes)
    assert lesser.status_code == 409 and "may not approve" in lesser.json()["detail"]
    other = await doors.client("ben", "operator").post(f"{RUNS}/{run['id']}/approve", json={"digest": "f" * 12})
    assert other.status_code == 409 and "not the one that was shown" in other.json()["detail"]
    assert (await doors.client("ben", "operator").post(f"{RUNS}/{run['id']}/approve", json=yes)).status_code == 200
    told = (await doors.client("vera", "viewer").get(f"{RUNS}/{run['id']}")).json()
    assert [one["approver"] for one in told["approvals"]] == ["ben"]
    again = await doors.client("ben", "operator").post(f"{RUNS}/{run['id']}/approve", json=yes)
    assert again.status_code == 400 and "already" in again.json()["detail"]


async def test_what_policy_wants_typed_is_the_name_and_the_plan(doors: Doors) -> None:
    (doors.house.watch.system.folder / "procedures" / "drop.md").write_text(
        "---\ntitle: Drop\nrisk: destructive\n---\n1. Do it.\n   ```sh id=do risk=destructive\n   true\n   ```\n"
    )
    ann, digest = doors.client("ann", "operator"), await digest_of(doors, "drop")
    for wrong in ({}, {"digest": digest}, {"confirm": "production"}, {"confirm": "prod", "digest": digest}):
        answer = await ann.post(RUNS, json={"procedure": "drop", **wrong})
        assert answer.status_code in (400, 409), wrong
    right = {"procedure": "drop", "digest": digest, "confirm": "production"}
    assert (await ann.post(RUNS, json=right)).status_code == 202


async def test_a_run_is_cancelled_and_its_plan_and_log_are_read(doors: Doors) -> None:
    ann = doors.client("ann", "operator")
    id = (await ann.post(RUNS, json={"procedure": "careful"})).json()["id"]
    waits = (await ann.get(f"{RUNS}/{id}/plan")).json()
    assert waits["steps"][0]["changes"] and waits["digest"]
    assert (await ann.get(f"{RUNS}/{id}/log")).json() == {"items": [], "next": None}
    assert (await ann.post(f"{RUNS}/{id}/cancel", json={"reason": "the wrong one"})).status_code == 200
    for act, body in (("resolve", {"as": "done"}), ("tick", {}), ("rerun", {})):
        answer = await ann.post(f"{RUNS}/{id}/{act}", json=body)
        assert answer.status_code == 400, f"{act}: {answer.text}"
    for act, body in (("cancel", {}), ("approve", {"digest": "f" * 12}), ("rerun", {})):
        assert (await ann.post(f"{RUNS}/none/{act}", json=body)).status_code == 404


async def test_a_procedure_that_is_not_there_or_broken_is_said(doors: Doors) -> None:
    ann = doors.client("ann", "operator")
    missing = await ann.post(RUNS, json={"procedure": "carefull"})
    assert missing.status_code == 404 and "careful" in missing.json()["hint"]
    (doors.house.watch.system.folder / "procedures" / "broken.md").write_text("---\ntitle: B\nrisk: none\n---\n")
    assert (await ann.post(RUNS, json={"procedure": "broken"})).status_code == 400
    listed = {one["name"]: one for one in (await ann.get("/api/v1/procedures")).json()}
    assert "broken" in listed["broken"] and "broken" not in listed["careful"]


async def test_a_book_that_somebody_has_just_broken_keeps_nobody_from_looking(doors: Doors) -> None:
    ann = doors.client("ann", "operator")
    book = doors.house.watch.system.book.path
    good = book.read_text()
    book.write_text("opsbook: 1\nsystem: [")
    assert (await ann.get(RUNS)).status_code == 200
    assert (await ann.get("/api/v1/status")).status_code == 200
    assert (await ann.post("/api/v1/incidents", json={"title": "the book is broken"})).status_code == 201
    refused = await ann.post(RUNS, json={"procedure": "careful"})
    assert refused.status_code == 503 and refused.json()["type"].endswith("invalid-book")
    book.write_text(good.replace("operator: [ann, ben]", "operator: [ben]"))
    assert (await ann.get("/api/v1/me")).status_code == 403, "the book gives ann nothing any more"
