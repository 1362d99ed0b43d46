"""What people and machines do to the watch over the network is the same as on the command line, and recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.api.conftest import BOOK, Doors

from opsbook.api.pings import job_of, ping_id
from opsbook.store.audit import newest
from opsbook.watch.links import link_key, make

WATCHED = (
    BOOK
    + """
severities: {P1: {means: down, respond: 15m, resolve: 4h}, P2: {means: slow, respond: 1h, resolve: 1d}}
jobs:
  - {id: nightly, schedule: "0 3 * * *"}
  - {id: seen, schedule: "0 3 * * *", observe: http.up, of: api}
checklists: {handover: {title: Hand-over, items: [{text: the pager is charged}, {text: nothing is silent}]}}
windows: [{id: weekly, rrule: "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2;BYMINUTE=0", lasts: 2h, components: [api]}]
"""
)


@pytest.fixture
def doors(open_doors: Callable[..., Doors]) -> Doors:
    return open_doors(WATCHED)


def acts(doors: Doors) -> list[tuple[str, str]]:
    return [(one.act.actor, one.act.event) for one in newest(doors.setting.store, 100)]


async def test_an_incident_is_worked_from_its_opening_to_its_end(doors: Doors) -> None:
    rob, ann = doors.client("rob", "responder"), doors.client("ann", "operator")
    made = await rob.post("/api/v1/incidents", json={"title": "customers cannot log in", "component": "api"})
    assert made.status_code == 201
    id = made.json()["incident"]["id"]
    at = f"/api/v1/incidents/{id}"
    assert made.headers["Location"] == at
    for what, body, state in (
        ("ack", None, "acknowledged"), ("note", {"text": "the pool is full"}, "acknowledged"),
        ("severity", {"severity": "P2"}, "acknowledged"), ("actions", {"text": "raise it"}, "acknowledged"),
        ("mitigate", {"text": "restarted"}, "mitigated"), ("resolve", {"text": "well"}, "resolved"),
        ("reopen", {"text": "not well"}, "open"), ("resolve", {"text": "well now"}, "resolved"),
    ):  # fmt: skip
        doors.clock.move(60)
        answer = await ann.post(f"{at}/{what}", json=body)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["incident"]["state"] == state and id in answer.json()["said"]) or what == "actions"
    told = (await ann.get(at)).json()
    kinds = [one["kind"] for one in told["timeline"]]
    assert {"opened", "acknowledged", "note", "severity", "mitigated", "resolved", "reopened"} <= set(kinds)
    (action,) = (await ann.get("/api/v1/actions")).json()["items"]
    assert (await ann.post(f"{at}/actions/{action['id']}/done")).status_code == 200
    assert (await ann.post(f"{at}/actions/999/done")).status_code == 400
    assert (await ann.get("/api/v1/actions")).json()["items"] == []
    assert "# " in (await ann.get(f"{at}/postmortem")).text
    assert ("rob", "incident opened") in acts(doors) and ("ann", "incident resolved") in acts(doors)
    assert (await ann.post(f"{at}/ack")).status_code == 409
    assert (await ann.get("/api/v1/incidents/i-none")).status_code == 404


async def test_what_alertmanager_sends_again_and_again_is_one_alert(doors: Doors) -> None:
    machine = doors.client("rob", "responder", scopes=("alerts",))
    body: dict[str, Any] = {
        "version": "4", "status": "firing", "groupKey": "g",
        "alerts": [{"status": "firing", "fingerprint": "f1", "labels": {"alertname": "Slow", "component": "api"}}],
    }  # fmt: skip
    first = await machine.post("/api/v1/alertmanager", json=body)
    assert first.json() == {"alerts": 1, "turned": 1}
    for _ in range(5):
        doors.clock.move(30)
        assert (await machine.post("/api/v1/alertmanager", json=body)).json()["turned"] == 0
    (alert,) = (await machine.get("/api/v1/alerts")).json()["items"]
    assert (alert["source"], alert["component"], alert["phase"]) == ("alertmanager", "api", "firing")
    assert alert["labels"]["alertname"] == "Slow"
    body["alerts"][0]["status"] = "resolved"
    assert (await machine.post("/api/v1/alertmanager", json=body)).json()["turned"] == 1
    assert (await machine.get("/api/v1/alerts")).json()["items"] == []
    assert len((await machine.get("/api/v1/alerts/history")).json()["items"]) == 1
    assert (await machine.post("/api/v1/alertmanager", json={"version": "3", "alerts": []})).status_code == 400
    elsewhere = await machine.post("/api/v1/alertmanager?environment=rehearsal", json=body)
    assert elsewhere.status_code == 400 and "is not watched here" in elsewhere.json()["detail"]


async def test_a_job_reports_by_its_own_address_or_by_a_token_and_by_nothing_else(doors: Doors) -> None:
    nobody, key = doors.bearing(""), link_key(doors.setting.folder)
    id = ping_id(key, "kiln", "production", "nightly")
    assert (await nobody.post(f"/ping/{id}/start")).json()["kind"] == "start"
    doors.clock.move(12.5)
    done = await nobody.post(f"/ping/{id}", content=b"\x00all \xff well")
    assert done.json() == {"job": "nightly", "kind": "success", "seconds": 12.5}
    assert (await nobody.post(f"/ping/{id}/3")).json()["kind"] == "failure"
    assert (await nobody.post(f"/ping/{id}/0")).json()["kind"] == "success"
    assert (await nobody.post(f"/ping/{id}/fail")).json()["kind"] == "failure"
    assert (await nobody.post(f"/ping/{id}/log", content=b"x" * 200_000)).json()["kind"] == "log"
    wrong = [
        "nightly", id[:-1], id[:-1] + ("0" if id[-1] != "0" else "1"), ping_id(key, "kiln", "rehearsal", "nightly"),
        ping_id(key, "kiln", "production", "seen"), ping_id(b"x" * 32, "kiln", "production", "nightly"),
    ]  # fmt: skip
    for other in wrong:
        assert (await nobody.post(f"/ping/{other}")).status_code == 404, other
    for code in ("256", "-1", "x"):
        assert (await nobody.post(f"/ping/{id}/{code}")).status_code == 422
    assert (await doors.client("rob", "responder", scopes=("ping",)).post("/ping/nightly")).status_code == 200
    assert (await doors.client("rob", "viewer").post("/ping/nightly")).status_code == 403
    assert (await doors.client("rob", "responder", scopes=("runs",)).post("/ping/nightly")).status_code == 403


def test_no_other_name_makes_the_same_address() -> None:
    key = b"k" * 32
    seen = {ping_id(key, *names).rpartition(".")[2] for names in (("a", "b", "c"), ("a", "bc", ""), ("ab", "", "c"))}
    assert len(seen) == 3
    assert job_of(key, "a", "b", ping_id(key, "a", "b", "x.y")) == "x.y"
    assert job_of(key, "a", "b", "") is None


async def test_a_signed_link_asks_first_and_acknowledges_only_when_it_is_answered(doors: Doors) -> None:
    nobody = doors.bearing("")
    id = (await doors.client("rob", "responder").post("/api/v1/incidents", json={"title": "<b>down</b>"})).json()[
        "incident"
    ]["id"]
    link = make(link_key(doors.setting.folder), id, "ann", doors.clock.now())
    page = await nobody.get(link)
    assert page.status_code == 200 and "&lt;b&gt;down" in page.text and '<form method="post">' in page.text
    assert "script" not in page.headers["Content-Security-Policy"] and "<script" not in page.text
    state = (await doors.client().get(f"/api/v1/incidents/{id}")).json()["state"]
    assert state == "open", "a look acknowledged it"
    assert "is acknowledged by ann" in (await nobody.post(link)).text
    told = (await doors.client().get(f"/api/v1/incidents/{id}")).json()
    assert (told["state"], told["acknowledged_by"]) == ("acknowledged", "ann")
    assert "already" in (await nobody.get(link)).text
    for wrong in (link.replace("who=ann", "who=ben"), link.replace(id, "i-other"), link[:-1] + "x", link.split("?")[0]):
        assert (await nobody.post(wrong)).status_code in (409, 422), wrong
    doors.clock.move(timedelta(days=2).total_seconds())
    assert (await nobody.post(link)).status_code == 409


async def test_windows_silences_and_checklists_are_worked_as_on_the_command_line(doors: Doors) -> None:
    rob, ann = doors.client("rob", "responder"), doors.client("ann", "operator")
    (coming, *_) = (await rob.get("/api/v1/windows")).json()["items"]
    assert coming["window"] == "weekly" and coming["state"] == "planned"
    assert "BEGIN:VEVENT" in (await rob.get("/api/v1/windows.ics")).text
    opening = {"window": "disk", "minutes": 30, "reason": "the disk is exchanged", "components": ["api"]}
    assert (await rob.post("/api/v1/windows", json=opening)).status_code == 403
    wrong = await ann.post("/api/v1/windows", json={**opening, "window": "a:b"})
    assert wrong.status_code == 422 and "window" in wrong.text
    assert (await ann.post("/api/v1/windows", json=opening)).status_code == 201
    assert (await ann.post("/api/v1/windows/disk/extend", json={"minutes": 10})).status_code == 200
    (held,) = (await rob.get("/api/v1/silences")).json()["items"]
    assert held["components"] == ["api"]
    assert (await ann.post("/api/v1/windows/disk/close", json={"note": "done"})).json()["state"] == "closed"
    until = (datetime(2026, 11, 21, 18, tzinfo=UTC)).isoformat()
    asked = {"checks": ["api-up"], "reason": "known", "until": until}
    made = await rob.post("/api/v1/silences", json=asked)
    assert made.status_code == 201, made.text
    assert (await rob.delete(f"/api/v1/silences/{made.json()['id']}")).status_code == 200
    assert (await rob.get("/api/v1/silences")).json()["items"] == []
    for wrong in ({**asked, "checks": []}, {**asked, "until": "2026-11-21T18:00:00"}, {**asked, "checks": ["none"]}):
        assert (await rob.post("/api/v1/silences", json=wrong)).status_code in (400, 422)
    one = (await rob.post("/api/v1/checklists", json={"name": "handover"})).json()
    ticked = (await rob.post(f"/api/v1/checklists/{one['id']}/lines/1/tick", json={"note": "yes"})).json()
    assert ticked["items"][0]["by"] == "rob"
    assert (await rob.post(f"/api/v1/checklists/{one['id']}/lines/9/tick", json={})).status_code == 400
    assert ("ann", "window opened") in acts(doors)


async def test_status_and_figures_are_told(doors: Doors) -> None:
    vera = doors.client("vera", "viewer")
    assert (await vera.get("/api/v1/status")).json()
    figures = await vera.get("/metrics")
    assert figures.headers["Content-Type"].startswith("text/plain") and "opsbook" in figures.text
    assert (await doors.bearing("").get("/metrics")).status_code == 401
    for path in ("slos", "capacity", "oncall", "drills", "objectives", "observations", "operations", "components"):
        assert (await vera.get(f"/api/v1/{path}")).status_code == 200, path


async def test_the_status_page_is_public_where_the_book_has_one_and_gathered_once_a_minute(
    open_doors: Callable[..., Doors],
) -> None:
    without = open_doors(WATCHED)
    assert (await without.bearing("").get("/status")).status_code == 404
    doors = open_doors(WATCHED + "status_page: {title: Kiln, components: {api: The shop}}\n")
    nobody = doors.bearing("")
    page = await nobody.get("/status")
    assert page.status_code == 200 and "The shop" in page.text and "127.0.0.1" not in page.text
    assert page.headers["Cache-Control"] == "public, max-age=60"
    before = (await nobody.get("/status.json")).json()
    doors.clock.move(30)
    assert (await nobody.get("/status.json")).json() == before
    doors.clock.move(31)
    assert (await nobody.get("/status.json")).json() != before


async def test_reports_are_told_in_each_form_and_that_of_the_audit_chain_takes_its_scope(doors: Doors) -> None:
    vera = doors.client("vera", "viewer")
    for kind in ("handover", "daily", "weekly", "monthly", "audit"):
        assert (await vera.get(f"/api/v1/reports/{kind}")).json()["kind"] == kind
    page = await vera.get("/api/v1/reports/handover", params={"format": "html"})
    assert page.headers["Content-Type"].startswith("text/html") and "<script" not in page.text
    now = doors.setting.now()
    assert (
        await vera.get("/api/v1/reports/daily", params={"since": now - 3600, "format": "markdown"})
    ).status_code == 200
    for since in (now + 1, now - 400 * 86_400, 4e9):
        assert (await vera.get("/api/v1/reports/daily", params={"since": since})).status_code == 400
    for bounds in ({"scopes": ("status",)}, {"environments": ("production",)}):
        bound = doors.client("vera", "viewer", **bounds)
        assert (await bound.get("/api/v1/reports/daily")).status_code == 200
        assert (await bound.get("/api/v1/reports/audit")).status_code == 403
