"""What an attempt at a snapshot of etcd leaves when it is killed is found by its key, ended and removed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.integration.hands import Out
from tests.integration.servers import make_system

from opsbook.connectors.change import Change
from opsbook.connectors.etcd import EtcdAccess, Snapshot, handed
from opsbook.connectors.executors import etcd_snapshot
from opsbook.connectors.executors.etcd_snapshot import EtcdSnapshot, part_of
from opsbook.connectors.process_tree import KEY

MARK = "run/snapshot/0"
CHANGE = Change("etcd-snapshot", {"component": "cluster", "folder": "kept", "timeout": 5.0})


def executor(folder: Path) -> tuple[EtcdSnapshot, Path]:
    etcd = {"endpoint": "https://127.0.0.1:1", "key": f"file:{folder}/key.pem"}
    (folder / "key.pem").write_text("a key\n")
    system = make_system(folder, {"cluster": {"kind": "cluster", "etcd": etcd}})
    connections: Any = SimpleNamespace(system=system)
    return EtcdSnapshot(connections), system.path("kept")


async def test_what_a_killed_attempt_left_is_ended_and_removed(tmp_path: Path) -> None:
    one, kept = executor(tmp_path)
    part, other = part_of(kept, MARK), part_of(kept, "run/snapshot/1")
    for left in (part, other):
        (left / "opsbook-etcd-x").mkdir(parents=True)
        (left / "opsbook-etcd-x/key").write_text("a key")
    child = await asyncio.create_subprocess_exec("sleep", "60", env={**os.environ, KEY: MARK})
    try:
        assert await one.end(MARK, CHANGE)
        assert await asyncio.wait_for(child.wait(), 10) < 0
    finally:
        if child.returncode is None:
            child.kill()
    assert [path.name for path in kept.iterdir()] == [other.name], "that of another attempt stays"
    assert await one.end(MARK, CHANGE), "twice is once"


async def test_it_is_made_in_a_private_folder_of_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, kept = executor(tmp_path)
    part = part_of(kept, MARK)
    part.mkdir(parents=True)
    (part / "snapshot.db").write_text("half of it")

    def written(system: Any, access: EtcdAccess, path: Path, key: str) -> None:
        assert (path.parent, key) == (part, MARK)
        assert not path.exists() and part.stat().st_mode & 0o777 == 0o700
        with handed(system, access, {KEY: key}) as given:
            copied = Path(given.variables["ETCDCTL_KEY"])
            assert copied == Path(f"/proc/self/fd/{given.descriptors[0]}") and copied.stat().st_mode & 0o777 == 0o600
            assert copied.stat().st_nlink == 0 and not list(part.iterdir()), "it has no name on a disk"
            assert (copied.read_text(), given.variables[KEY]) == ("a key\n", MARK)
        path.write_text("whole")

    async def save(system: Any, access: EtcdAccess, path: Path, seconds: float, key: str) -> Snapshot:
        written(system, access, path, key)
        return Snapshot("0", 1, 2, 3)

    monkeypatch.setattr(etcd_snapshot, "save", save)
    done: Any = await one.apply(MARK, CHANGE, None, Out())
    assert [str(path) for path in kept.iterdir()] == [done.result["path"]]
