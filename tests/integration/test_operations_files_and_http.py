"""Files written and copied, and requests that must have one status."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import ReadFailed
from opsbook.errors import Refused
from tests.integration.hands import Hands, hands_on
from tests.integration.web import answer, serving

pytestmark = pytest.mark.real


@pytest.fixture
def place(tmp_path: Path) -> Path:
    exports = tmp_path / "exports"
    (exports / "deep").mkdir(parents=True)
    (exports / "a.json").write_text("[1]")
    (exports / "deep" / "b.json").write_text("[2]")
    (exports / "notes.txt").write_text("no")
    (tmp_path / "bundles").mkdir()
    return tmp_path


@pytest.fixture
async def hands(place: Path) -> AsyncIterator[Hands]:
    components = {
        "exports": {"kind": "files", "path": str(place / "exports")},
        "bundles": {"kind": "files", "path": str(place / "bundles")},
    }
    async with hands_on(place / "ops", components) as one:
        yield one


async def test_it_copies_files_and_proves_them(hands: Hands, place: Path) -> None:
    change = await hands.only("files.copy", of="exports", to="bundles", pattern="*.json", under="2026-01")
    assert change.evidence == {"files": 2, "bytes": 6}
    assert not (place / "bundles" / "2026-01").exists(), "planning changes nothing"
    result = await hands.apply(change)
    folder = place / "bundles" / "2026-01"
    assert (result["files"], result["manifest"]) == (2, str(folder / "SHA256SUMS"))
    check = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    await asyncio.to_thread(subprocess.run, check, cwd=folder, check=True, capture_output=True)
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["SHA256SUMS", "a.json", "b.json"]
    assert await hands.apply(change) == result, "again, as after a crash"
    await hands.undo(change)
    assert [p for p in folder.rglob("*") if p.is_file()] == []


async def test_it_never_overwrites_another_file(hands: Hands, place: Path) -> None:
    (place / "bundles" / "a.json").write_text("other")
    change = await hands.only("files.copy", of="exports", to="bundles", pattern="a.json")
    with pytest.raises(Refused, match="with another content"):
        await hands.apply(change)
    assert (place / "bundles" / "a.json").read_text() == "other"
    assert not (place / "bundles" / "SHA256SUMS").exists()


@pytest.mark.parametrize("under", ["../outside", "/etc"])
async def test_it_stays_within_its_folder(hands: Hands, under: str) -> None:
    with pytest.raises(Refused, match="leads out of"):
        await hands.plan("files.copy", of="exports", to="bundles", under=under)
    with pytest.raises(Refused, match="leads out of"):
        await hands.plan("files.write", of="exports", name=under, content="x")


async def test_it_refuses_to_copy_nothing(hands: Hands) -> None:
    with pytest.raises(Refused, match="no file of"):
        await hands.plan("files.copy", of="exports", to="bundles", pattern="*.csv")


async def test_it_writes_a_file_and_undo_puts_it_back(hands: Hands, place: Path) -> None:
    change = await hands.only("files.write", of="exports", name="a.json", content="[3]")
    await hands.apply(change)
    assert (place / "exports" / "a.json").read_text() == "[3]"
    await hands.undo(change)
    assert (place / "exports" / "a.json").read_text() == "[1]"


async def test_a_request_is_held_against_its_status(tmp_path: Path) -> None:
    with serving({"/ok": answer("ok"), "/gone": answer("gone", "410 Gone")}) as server:
        async with hands_on(tmp_path, {"api": {"kind": "http", "url": f"http://127.0.0.1:{server.port}"}}) as hands:
            assert (await hands.do("http.get", of="api", path="/ok"))["status"] == 200
            assert (await hands.do("http.get", of="api", path="/gone", status=410))["status"] == 410
            with pytest.raises(ReadFailed, match="answers 200, not 204"):
                await hands.do("http.get", of="api", path="/ok", status=204)
            with pytest.raises(ReadFailed, match="410"):
                await hands.do("http.get", of="api", path="/gone")
            with pytest.raises(ChangeFailed, match="410"):
                await hands.do("http.request", of="api", path="/gone", json={"a": 1})
