"""Tokens: shown once, kept as a hash, bounded, ended at once."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.api.conftest import Doors

from opsbook.api.tokens import Bounds, find, known, make, revoke
from opsbook.engine.access import Actor
from opsbook.errors import Refused, UsageError
from opsbook.store.audit import newest
from opsbook.store.tokens import TEXT

CLEO, ANN, ROB = (Actor(name, "test", groups=frozenset()) for name in ("cleo", "ann", "rob"))
MONTH = timedelta(days=30)


def token(doors: Doors, actor: Actor, owner: str = "", role: str = "viewer", **bounds: tuple[str, ...]) -> str:
    access = doors.house.watch.system.model.access
    return make(doors.setting, access, actor, "t", Bounds(role, **bounds), MONTH, owner)[0]


def test_its_text_is_nowhere_in_the_store_and_the_making_is_recorded(doors: Doors, tmp_path: Path) -> None:
    text = token(doors, CLEO)
    secret = TEXT.fullmatch(text)["secret"]  # type: ignore[index]
    dump = "\n".join(sqlite3.connect(tmp_path / ".opsbook" / "store.db").iterdump())
    assert secret not in dump and text not in dump
    (record,) = [one for one in newest(doors.setting.store, 10) if one.act.event == "token made"]
    assert record.act.actor == "cleo" and secret not in record.detail


def test_one_character_less_or_another_is_nobody(doors: Doors) -> None:
    text = token(doors, CLEO)
    assert known(doors.setting, text)
    for wrong in (text[:-1], text + "x", text[:-1] + ("a" if text[-1] != "a" else "b"), text.upper(), "opsbook__", ""):
        assert known(doors.setting, wrong) is None


def test_only_an_admin_makes_one_for_somebody_else_and_nobody_one_above_their_role(doors: Doors) -> None:
    token(doors, CLEO, "ann", "operator")
    token(doors, ANN, role="operator")
    with pytest.raises(Refused, match="may not make a token for ben"):
        token(doors, ANN, "ben")
    with pytest.raises(Refused, match="has not the role operator"):
        token(doors, ROB, role="operator")
    with pytest.raises(Refused, match="may not revoke"):
        revoke(
            doors.setting, doors.house.watch.system.model.access, ROB, find(doors.setting, known_id(doors, "ann")).id
        )


def known_id(doors: Doors, owner: str) -> str:
    text = token(doors, CLEO, owner)
    return TEXT.fullmatch(text)["id"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "owner", "bounds", "lasts"),
    [
        ("", "", Bounds(), MONTH), ("a\x1b[2K", "", Bounds(), MONTH), ("a", "opsbook", Bounds(), MONTH),
        ("a", "", Bounds("king"), MONTH), ("a", "", Bounds(scopes=("rnus",)), MONTH),
        ("a", "", Bounds(), timedelta(days=400)), ("a", "", Bounds(), timedelta(0)),
    ],
)  # fmt: skip
def test_it_refuses_what_no_token_should_be(
    doors: Doors, name: str, owner: str, bounds: Bounds, lasts: timedelta
) -> None:
    access = doors.house.watch.system.model.access
    with pytest.raises(UsageError):
        make(doors.setting, access, CLEO, name, bounds, lasts, owner)


async def test_it_ends_when_it_is_revoked_and_when_it_expires(doors: Doors) -> None:
    text, other = doors.token("ann", "operator", days=2), doors.token("ann", "operator", days=2)
    client, second = doors.bearing(text), doors.bearing(other)
    assert (await client.get("/api/v1/me")).json()["name"] == "ann"
    id = TEXT.fullmatch(text)["id"]  # type: ignore[index]
    ended = await client.delete(f"/api/v1/tokens/{id}")
    assert ended.status_code == 200 and ended.json()["state"] == "it was revoked"
    answer = await client.get("/api/v1/me")
    assert answer.status_code == 401 and "revoked" in answer.json()["detail"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (await second.get("/api/v1/me")).status_code == 200
    doors.clock.move(2 * 86_400 + 1)
    assert "expired" in (await second.get("/api/v1/me")).json()["detail"]


async def test_one_of_an_environment_ends_no_token_of_somebody_else(doors: Doors) -> None:
    id = TEXT.fullmatch(doors.token("ann", "operator"))["id"]  # type: ignore[index]
    bound = doors.client("cleo", "admin", environments=("production",))
    assert (await bound.delete(f"/api/v1/tokens/{id}")).status_code == 403
    assert (await doors.client("cleo", "admin").delete(f"/api/v1/tokens/{id}")).status_code == 200


async def test_it_opens_only_its_subjects_systems_and_environments(doors: Doors) -> None:
    only_checks = doors.client("ann", "viewer", scopes=("checks",))
    assert (await only_checks.get("/api/v1/checks")).status_code == 200
    assert (await only_checks.get("/api/v1/runs")).status_code == 403
    rehearsal = doors.client("ann", "operator", environments=("rehearsal",))
    assert (await rehearsal.get("/api/v1/runs")).status_code == 403
    assert (await rehearsal.get("/api/v1/runs?environment=rehearsal")).status_code == 200
    assert (await rehearsal.get("/api/v1/audit?environment=rehearsal")).status_code == 403
    asked = {"procedure": "careful"}
    assert (await rehearsal.post("/api/v1/runs?environment=rehearsal", json=asked)).status_code == 202
    assert (await rehearsal.post("/api/v1/runs", json=asked)).status_code == 403
    elsewhere = doors.client("ann", "operator", systems=("other",))
    assert (await elsewhere.get("/api/v1/checks")).status_code == 403


async def test_a_run_of_an_environment_that_is_not_theirs_is_as_if_there_were_none(doors: Doors) -> None:
    run = (await doors.client("ann", "operator").post("/api/v1/runs", json={"procedure": "careful"})).json()["id"]
    rehearsal = doors.client("ann", "operator", environments=("rehearsal",))
    for method, path in (("GET", ""), ("GET", "/plan"), ("GET", "/log"), ("GET", "/events"), ("POST", "/cancel")):
        answer = await rehearsal.request(
            method, f"/api/v1/runs/{run}{path}?environment=rehearsal", json={} if method == "POST" else None
        )
        assert answer.status_code == 404, path


async def test_its_use_is_noted_once_a_minute(doors: Doors) -> None:
    text = doors.token("ann", "viewer")
    id = TEXT.fullmatch(text)["id"]  # type: ignore[index]
    client = doors.bearing(text)
    await client.get("/api/v1/me")
    first = find(doors.setting, id).used_at
    assert first == doors.setting.now()
    doors.clock.move(30)
    await client.get("/api/v1/me")
    assert find(doors.setting, id).used_at == first
    doors.clock.move(31)
    await client.get("/api/v1/me")
    assert find(doors.setting, id).used_at == doors.setting.now()
