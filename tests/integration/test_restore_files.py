"""Files and snapshots of Redis restored to a place of their own, verified, drilled; damage is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from opsbook.clock import SystemClock
from opsbook.connectors.change import Change, ChangeFailed, Done
from opsbook.connectors.registry import open_connections, registered
from opsbook.engine.facts import RecordedFacts
from opsbook.errors import UsageError
from opsbook.operations.registry import operations
from tests.integration.executing import Output
from tests.integration.restoring import Key
from tests.integration.servers import RedisServer, make_system

pytestmark = pytest.mark.real


class Store:
    """A folder, a Redis, and their backups."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.folder, self.signer, self.number = folder, Key(), 0
        place = str(folder / "store")
        backups = [
            {"id": "shelf", "of": "artifacts", "method": "files", "paths": [str(folder / "artifacts")], "to": place,
             "retry": 0},
            {"id": "keys", "of": "cache", "method": "rdb", "to": place, "retry": 0},
        ]  # fmt: skip
        components: dict[str, Any] = {
            "artifacts": {"kind": "files", "path": str(folder / "artifacts")},
            "cache": {"kind": "redis", "url": redis.url},
        }
        self.system = make_system(folder / "book", components, backups=backups)

    async def do(self, operation: str, **parameters: Any) -> dict[str, Any]:
        one, self.number = operations()[operation], self.number + 1
        async with open_connections(self.system, self.signer) as connections:
            facts = RecordedFacts(self.system, SystemClock(), connections)
            given = one.spec.parameters.model_validate(parameters)
            changes: list[Change] = [change async for change in one.plan(given, facts)]
            make = registered().executors[changes[-1].kind]
            done = await make(connections).apply(f"run{self.number}/s/0", changes[-1], None, Output())
        assert isinstance(done, Done)
        return dict(done.result)

    def objects(self, backup: str) -> list[Path]:
        return [one for one in (self.folder / "store" / "test" / backup).rglob("objects/*/*") if one.is_file()]


async def test_files_come_back_as_they_were_into_a_folder_of_their_own(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    shelf = tmp_path / "artifacts"
    (shelf / "deep" / "empty").mkdir(parents=True)
    (shelf / "deep" / "größe \n.bin").write_bytes(bytes(range(256)) * 5000)
    (shelf / "tool").write_text("#!/bin/sh\n")
    (shelf / "tool").chmod(0o750)
    (shelf / "link").symlink_to("/nowhere/at all")
    store = Store(tmp_path, redis_server)
    await store.do("backup.take", of="artifacts", backup="shelf")
    told = await store.do("files.restore", of="artifacts", backup="shelf", to=str(tmp_path / "back"))
    back = tmp_path / "back"
    assert told["files"] == 2
    names = sorted(str(one.relative_to(shelf)) for one in shelf.rglob("*"))
    assert sorted(str(one.relative_to(back)) for one in back.rglob("*")) == names
    assert (back / "deep" / "größe \n.bin").read_bytes() == bytes(range(256)) * 5000
    assert (back / "tool").stat().st_mode & 0o777 == 0o750
    assert str((back / "link").readlink()) == "/nowhere/at all"
    assert (await store.do("files.restore", of="artifacts", backup="shelf", to=str(back)))["files"] == 2, "again"
    (back / "tool").write_text("mine")
    with pytest.raises(ChangeFailed, match="is there already"):
        await store.do("files.restore", of="artifacts", backup="shelf", to=str(back))
    assert (await store.do("drill.restore", of="artifacts", backup="shelf"))["good"] is True

    (target,) = store.objects("shelf")
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 4
    target.write_bytes(data)
    with pytest.raises(ChangeFailed, match="archive: its bytes are not those that were stored"):
        await store.do("files.restore", of="artifacts", backup="shelf", to=str(tmp_path / "other"))
    assert not [one for one in os.listdir(tmp_path) if "other" in one], "nothing half unpacked is left"
    drilled = await store.do("drill.restore", of="artifacts", backup="shelf")
    assert (drilled["good"], "archive" in drilled["problems"][0]) == (False, True)


async def test_a_snapshot_of_redis_is_loaded_by_a_server_before_it_is_believed(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with redis_server.client(3) as client:
        client.mset({f"restore:{n}": "x" * 50 for n in range(200)})
    store = Store(tmp_path, redis_server)
    await store.do("backup.take", of="cache", backup="keys")
    told = await store.do("redis.restore", of="cache", backup="keys", to=str(tmp_path / "back" / "dump.rdb"))
    assert told["keys"]["db3"] >= 200
    assert (tmp_path / "back" / "dump.rdb").read_bytes().startswith(b"REDIS")
    drilled = await store.do("drill.restore", of="cache", backup="keys")
    assert (drilled["good"], drilled["rows"] >= 200) == (True, True)
    (target,) = store.objects("keys")
    target.write_bytes(target.read_bytes()[:-3])
    with pytest.raises(UsageError, match="there is no backup of keys"):
        await store.do("drill.restore", of="cache", backup="keys")
    drilled = await store.do("drill.restore", of="cache", backup="keys", stamp=target.parents[2].name)
    assert (drilled["good"], "rdb" in drilled["problems"][0]) == (False, True)
