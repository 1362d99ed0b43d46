"""Snapshots of a real etcd: whole or not at all, verified, and what comes back out of one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.etcd import verified
from opsbook.connectors.process_tree import carriers
from opsbook.engine.access import Actor
from opsbook.engine.service import Service, Wish
from opsbook.engine.setting import open_setting
from opsbook.engine.views import view_of
from opsbook.errors import Absent
from tests.integration.etcds import Etcd, etcd, halting_wire
from tests.integration.eventually import eventually
from tests.integration.hands import hands_on
from tests.integration.servers import make_system

pytestmark = pytest.mark.real
KEEP = """---
title: Keep etcd
risk: safe
---
```op id=snapshot
cluster.snapshot: {of: cluster, folder: kept}
```
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with etcd(tmp_path_factory.mktemp("etcd")) as one:
        for number in range(10):
            one.ctl("put", f"/registry/pods/{number}", "x" * 100)
        for number in range(4):
            one.ctl("put", f"/registry/large/{number}", "y" * 100_000)
        yield one


def components(server: Etcd, client: Path | None = None, **keys: str) -> dict[str, dict[str, object]]:
    """A cluster that is read with the credential in a folder."""
    own = client or server.folder / "client"
    access = {"endpoint": server.endpoint, "ca": f"file:{server.folder}/ca.pem", "cert": f"file:{own}/chain.pem",
              "key": f"file:{own}/key.pem"}  # fmt: skip
    return {"cluster": {"kind": "cluster", "etcd": {**access, **keys}}}


def about(path: Path) -> tuple[str, int, int]:
    known = path.stat()
    return hashlib.sha256(path.read_bytes()).hexdigest(), known.st_size, known.st_mode & 0o777


def names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()} if folder.exists() else set()


def restored(path: Path, to: Path) -> Path:
    argv = ["etcdctl", "snapshot", "restore", str(path), "--data-dir", str(to)]
    subprocess.run(argv, env={**os.environ, "ETCDCTL_API": "3"}, check=True, capture_output=True)
    return to


def altered(path: Path, to: Path, at: int) -> Path:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    to.write_bytes(data)
    return to


async def test_a_snapshot_is_whole_verified_and_comes_back(server: Etcd, tmp_path: Path) -> None:
    async with hands_on(tmp_path / "ops", components(server)) as hands:
        (change,) = await hands.plan("cluster.snapshot", of="cluster", folder="kept")
        assert change.evidence["revision"] == 15
        assert names(tmp_path / "ops/kept") == set(), "planning writes nothing"
        told = await hands.apply(change)
        path = Path(told["path"])
        assert told["revision"] == 15 and told["keys"] >= 10
        assert about(path) == (told["sha256"], told["bytes"], 0o400)
        assert (await verified(path)).hash == told["hash"]
        again = await hands.apply(change)
        assert names(path.parent) == {path.name, Path(again["path"]).name}
        for at in (5, told["bytes"] // 2, told["bytes"] - 1):
            with pytest.raises(ChangeFailed, match="is not what etcd wrote"):
                await verified(altered(path, tmp_path / "broken.db", at))
    with etcd(tmp_path / "second", restored(path, tmp_path / "restored")) as second:
        assert second.ctl("get", "/registry/pods/9", "--print-value-only").strip() == "x" * 100


async def test_what_cannot_be_read_leaves_nothing_and_tells_no_secret(
    server: Etcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = (server.folder / "client/key.pem").read_text()
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setenv("ETCD_KEY", key)
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    async with hands_on(tmp_path / "right", components(server, key="${ETCD_KEY}")) as hands:
        (change,) = await hands.plan("cluster.snapshot", of="cluster")
        told = await hands.apply(change)
        assert key.splitlines()[1] not in str(change) + str(told) + hands.out.text
    assert names(copies) == set(), "copies of the credential are gone"
    with etcd(tmp_path / "other") as stranger:
        async with hands_on(tmp_path / "strange", components(server, stranger.folder / "client")) as hands:
            with pytest.raises(ChangeFailed, match="etcdctl endpoint status ended with"):
                await hands.plan("cluster.snapshot", of="cluster")
            with pytest.raises(ChangeFailed, match="etcdctl endpoint status ended with"):
                await hands.apply(change)
            assert names(tmp_path / "strange/.opsbook/etcd") == set()


async def test_without_its_place_in_the_book_it_is_refused(tmp_path: Path) -> None:
    async with hands_on(tmp_path, {"cluster": {"kind": "cluster"}}) as hands:
        with pytest.raises(Absent, match="does not say where the etcd of cluster is"):
            await hands.plan("cluster.snapshot", of="cluster")


async def test_a_run_that_is_killed_in_the_middle_of_one_is_taken_up_and_ends_with_a_whole_one(
    server: Etcd, tmp_path: Path
) -> None:
    ops, key = tmp_path / "ops", (server.folder / "client/key.pem").read_bytes().splitlines()[1]
    (ops / "procedures").mkdir(parents=True)
    (ops / "procedures/keep.md").write_text(KEEP)
    with halting_wire(server.endpoint, 200_000) as (endpoint, halted):
        system = make_system(ops, components(server, endpoint=endpoint))
        setting = open_setting(system)
        service = Service(setting, system, Actor("ann", "a test"))
        run = service.submit(await service.plan(service.procedure("keep")), Wish(confirmed=True)).id
        process, orphans = engine(ops, run), set[int]()
        try:
            assert await asyncio.to_thread(halted.wait, 100), "the snapshot is under way"
            await eventually(lambda: bool(list((ops / "kept").rglob("*.part"))))
            orphans = carriers(f"{run}/snapshot/0")
        finally:
            process.kill()
            process.wait(20)
        assert orphans and carriers(f"{run}/snapshot/0") == orphans, "its program goes on without it"
        assert not holding(key, ops / "kept", Path(tempfile.gettempdir()))
        assert await asyncio.to_thread(engine(ops, run).wait, 100) == 0
    view = view_of(setting.store, run)
    setting.close()
    assert (view.run.state, view.run.crashes) == ("done", 1), view.run.message
    (kept,) = (ops / "kept").iterdir()
    assert (await verified(kept)).keys >= 10 and not carriers(f"{run}/snapshot/0")


def holding(secret: bytes, kept: Path, folder: Path) -> list[Path]:
    """Copies of a secret in what this leaves."""
    left = [*kept.rglob("*"), *folder.glob("opsbook-etcd-*/*")]
    return [one for one in left if one.is_file() and secret in one.read_bytes()]


def engine(ops: Path, run: str) -> subprocess.Popen[bytes]:
    """A process that sees the run through."""
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom tests.faults.deadly import engine\n"
        "asyncio.run(engine(Path(sys.argv[1]), '', sys.argv[2], (), Path(sys.argv[1]).parent))"
    )
    argv = [sys.executable, "-c", code, str(ops / "book.yaml"), run]
    return subprocess.Popen(argv, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL)
