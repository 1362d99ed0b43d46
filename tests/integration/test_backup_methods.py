"""Backups of files, Redis and opsbook's own store: encrypted, into a bucket, copied, over a network that breaks."""

from __future__ import annotations

import io
import os
import sqlite3
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import Failure
from opsbook.connectors.registry import open_connections
from tests.integration.backups import Desk, desk
from tests.integration.buckets import KEY, SECRET, Bucket, cut_wire, new_bucket
from tests.integration.servers import Postgres, RedisServer, ask, new_redis

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with new_bucket() as one:
        yield one


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    folder = tmp_path / "artifacts"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "a.csv").write_text("a,b\n" * 1000)
    (folder / "deep" / "er" / "ü b.bin").write_bytes(bytes(range(256)) * 5000)
    (folder / "deep" / "left.tmp").write_text("x")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o750)
    (folder / "link").symlink_to("a.csv")
    os.mkfifo(folder / "pipe")
    return folder


def files_desk(folder: Path, artifacts: Path, **keys: Any) -> Desk:
    one = {"id": "artifacts", "of": "artifacts", "method": "files", "paths": [str(artifacts)], "exclude": ["*.tmp"]}
    return desk(folder, {"artifacts": {"kind": "files", "path": str(artifacts)}}, [{**one, **keys}])


def unpacked(data: bytes, folder: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="tar")
    return folder


async def test_an_archive_unpacks_to_the_same_files_and_says_what_was_left_out(tmp_path: Path, artifacts: Path) -> None:
    own = files_desk(tmp_path, artifacts)
    told = await own.take("artifacts")
    assert told["files"] == 3
    manifest = own.newest("artifacts").manifest
    assert {one.path for one in manifest.files} == {"a.csv", "run.sh", "deep/er/ü b.bin"}
    into = unpacked(own.content("artifacts"), tmp_path / "into")
    for one in manifest.files:
        assert (into / one.path).read_bytes() == (artifacts / one.path).read_bytes()
        assert (into / one.path).stat().st_mode & 0o777 == one.mode
    assert (into / "link").readlink() == Path("a.csv")
    assert (into / "empty").is_dir()
    assert not (into / "deep/left.tmp").exists()
    assert "pipe: it is no file" in own.output.text
    nowhere = files_desk(tmp_path / "b", artifacts, paths=[str(artifacts / "no*such")])
    with pytest.raises(ChangeFailed, match="no such file"):
        await nowhere.take("artifacts")


async def test_a_file_that_changes_while_it_is_read_is_told_and_the_archive_stays_whole(
    tmp_path: Path, artifacts: Path
) -> None:
    log = artifacts / "growing.log"
    log.write_text("line\n" * 1000)
    stop = threading.Event()

    def grow() -> None:
        with log.open("a") as file:
            while not stop.is_set():
                file.write("line\n" * 100)
                file.flush()

    thread = threading.Thread(target=grow, daemon=True)
    thread.start()
    own = files_desk(tmp_path, artifacts)
    try:
        await own.take("artifacts")
    finally:
        stop.set()
        thread.join()
    assert "growing.log: it changed while it was read" in own.output.text
    into = unpacked(own.content("artifacts"), tmp_path / "into")
    (facts,) = [one for one in own.newest("artifacts").manifest.files if one.path == "growing.log"]
    assert (into / "growing.log").stat().st_size == facts.size
    assert (into / "a.csv").read_bytes() == (artifacts / "a.csv").read_bytes()


async def test_a_backup_goes_encrypted_into_a_bucket_and_as_it_lies_into_a_second_store(
    tmp_path: Path, artifacts: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = pyrage.x25519.Identity.generate()
    monkeypatch.setenv("RECIPIENT", str(identity.to_public()))
    monkeypatch.setenv("IDENTITY", str(identity))
    own = files_desk(
        tmp_path, artifacts, to=bucket.address("first"), copy_to=str(tmp_path / "second"), encrypt="${RECIPIENT}",
        decrypt="${IDENTITY}",
    )  # fmt: skip
    told = await own.take("artifacts")
    one = own.newest("artifacts")
    assert one.whole
    assert one.manifest.recipient == str(identity.to_public())
    assert b"a,b" not in b"".join(path.read_bytes() for path in bucket.folder.rglob("archive"))
    into = unpacked(own.content("artifacts", identities=str(identity)), tmp_path / "into")
    assert (into / "a.csv").read_bytes() == (artifacts / "a.csv").read_bytes()
    # The copy is a backup of its own right, byte for byte.
    mirrored = tmp_path / "second" / "test" / "artifacts" / told["stamp"]
    original = bucket.folder / "first" / "test" / "artifacts" / told["stamp"]
    for name in ("manifest.json", "manifest.sig", one.manifest.parts[0].key):
        assert (mirrored / name).read_bytes() == (original / name).read_bytes()
    # What is lost there is brought again with the next backup.
    (mirrored / "manifest.json").unlink()
    await own.take("artifacts", key="run2/take/0")
    assert (mirrored / "manifest.json").exists()
    assert len(list((tmp_path / "second" / "test" / "artifacts").iterdir())) == 2
    verified = await own.do("backup.verify", "artifacts")
    assert verified["content"] is True
    assert verified["problems"] == []
    held = await own.do("backup.hold", "artifacts", stamp=told["stamp"], name="audit", reason="is looked at")
    assert "hold-audit" in held["held"]
    (hold,) = own.listed("artifacts").backups[0].holds
    assert hold.reason == "is looked at"
    await own.do("backup.release", "artifacts", stamp=told["stamp"], name="audit")
    assert own.listed("artifacts").backups[0].holds == ()
    assert str(identity) not in own.output.text


async def test_a_damaged_backup_is_found_by_verifying_and_not_relied_on_afterwards(
    tmp_path: Path, artifacts: Path
) -> None:
    from datetime import UTC, datetime

    from opsbook.recovery.backups import backup_ages

    own = files_desk(tmp_path, artifacts)
    await own.take("artifacts")
    now = datetime.now(UTC)
    assert backup_ages(own.system, now, own.head.public)["artifacts"].total_seconds() < 3600
    async with open_connections(own.system) as connections:
        newest, size, verified, change = await ask(
            connections, "artifacts", "backup.age", ("backup.size", {"backup": "artifacts"}), "backup.verified_age",
            "backup.size_change",
        )  # fmt: skip
    assert 0 <= float(newest.value or 0) < 3600
    assert size.value == own.newest("artifacts").manifest.stored
    assert (verified.failure, change.failure) == (Failure.ABSENT, Failure.ABSENT)
    one = own.newest("artifacts").manifest
    path = tmp_path / "to" / "test" / one.folder / one.parts[0].key
    original = path.read_bytes()
    data = bytearray(original)
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(ChangeFailed, match="SHA-256 differs"):
        await own.do("backup.verify", "artifacts")
    proof = own.newest("artifacts").proofs[-1]
    assert not proof.good
    assert backup_ages(own.system, now, own.head.public) == {}
    (artifacts / "more").write_bytes(os.urandom(5 << 20))
    path.write_bytes(original)
    await own.do("backup.verify", "artifacts")
    await own.take("artifacts", key="run2/take/0")
    async with open_connections(own.system) as connections:
        verified, change = await ask(connections, "artifacts", "backup.verified_age", "backup.size_change")
    assert 0 <= float(verified.value or 0) < 3600
    assert float(change.value or 0) > 1
    assert change.message == "more"


async def test_an_upload_survives_a_network_that_breaks_and_refused_credentials_leave_nothing(
    tmp_path: Path, artifacts: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    (artifacts / "large").write_bytes(os.urandom(24 << 20))
    with cut_wire(bucket.port, 20_000, 2 << 20, 6 << 20) as wire:
        own = files_desk(tmp_path, artifacts, to=bucket.address("broken", wire.port), compress="none")
        await own.take("artifacts")
        assert wire.cuts >= 1
    assert own.system.resolve(own.system.model.backups[0].to).startswith("s3://")  # type: ignore[arg-type]
    steady = files_desk(tmp_path / "again", artifacts, to=bucket.address("broken"))
    assert (unpacked(steady.content("artifacts"), tmp_path / "into") / "large").read_bytes() == (
        artifacts / "large"
    ).read_bytes()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "expired-s3cret")
    refused = files_desk(tmp_path / "refused", artifacts, to=bucket.address("refused"))
    with pytest.raises(ChangeFailed, match="refuses the credentials") as failed:
        await refused.take("artifacts")
    assert "s3cret" not in str(failed.value)
    assert not (bucket.folder / "refused").exists()


async def test_a_full_disk_ends_a_backup_and_leaves_nothing(tmp_path: Path, artifacts: Path) -> None:
    import resource

    (artifacts / "large").write_bytes(os.urandom(6 << 20))
    own = files_desk(tmp_path, artifacts, compress="none")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file that may not grow ends a write as a full disk does.
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, before[1]))
    try:
        with pytest.raises(ChangeFailed):
            await own.take("artifacts")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert own.tree() == {}
    await own.take("artifacts")
    assert own.newest("artifacts").whole


@pytest.fixture(scope="module", params=["yes", "no"], ids=["diskless", "by-its-disk"])
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    arguments = ["--requirepass", "s3cret-word", "--repl-diskless-sync", request.param]
    with new_redis(*arguments, "--repl-diskless-sync-delay", "0") as server:
        yield server


async def test_a_redis_is_fetched_whole_and_starts_again_from_the_snapshot(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    import redis

    with redis.Redis(host="127.0.0.1", port=redis_server.port, password="s3cret-word") as client:
        client.mset({f"key:{n}": "v" * n for n in range(500)})
        client.rpush("list", *range(50))
        written = client.lastsave()
    component = {"kind": "redis", "url": f"redis://:s3cret-word@127.0.0.1:{redis_server.port}/0"}
    own = desk(tmp_path, {"broker": component}, [{"id": "broker", "of": "broker", "method": "rdb"}])
    await own.take("broker")
    assert "s3cret-word" not in own.output.text
    data = own.content("broker")
    assert data.startswith(b"REDIS")
    restored = tmp_path / "restored"
    restored.mkdir()
    (restored / "dump.rdb").write_bytes(data)
    other = RedisServer(restored)
    try:
        other.start()
        with other.client() as client:
            assert client.dbsize() == 501
            assert client.lrange("list", 0, -1) == [str(n) for n in range(50)]
            assert client.get("key:77") == "v" * 77
    finally:
        other.stop()
    with redis.Redis(host="127.0.0.1", port=redis_server.port, password="s3cret-word") as client:
        assert client.info("replication")["connected_slaves"] == 0
        assert client.lastsave() >= written
    wrong = desk(
        tmp_path / "wrong",
        {"broker": {"kind": "redis", "url": f"redis://:wr0ng-word@127.0.0.1:{redis_server.port}/0"}},
        [{"id": "broker", "of": "broker", "method": "rdb"}],
    )
    with pytest.raises(ChangeFailed, match=r"WRONGPASS") as failed:
        await wrong.take("broker")
    assert "wr0ng-word" not in str(failed.value)
    assert wrong.tree() == {}


async def test_the_own_store_is_copied_while_it_is_written(tmp_path: Path, postgres_server: Postgres) -> None:
    store = tmp_path / "store.db"
    with sqlite3.connect(store) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE audit (n int)")
    (tmp_path / "store.db.key").write_text("the signing key")
    (tmp_path / "store.db.head").write_text("a signed head\n")
    stop = threading.Event()

    def write() -> None:
        writer = sqlite3.connect(store, timeout=30)
        while not stop.is_set():
            with writer:
                writer.executemany("INSERT INTO audit VALUES (?)", [(1,)] * 10)
        writer.close()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    backups = [
        {"id": "own", "of": "host", "method": "store"},
        {"id": "safe", "of": "host", "method": "store",
         "encrypt": str(pyrage.x25519.Identity.generate().to_public())},
    ]  # fmt: skip
    own = desk(tmp_path, {"host": {"kind": "host"}}, backups, store=f"sqlite:///{store}")
    try:
        await own.take("own")
    finally:
        stop.set()
        thread.join()
    names = {part.key.rpartition("/")[2] for part in own.newest("own").manifest.parts}
    assert names == {"store.db", "store.db.head"}
    copy = tmp_path / "copy.db"
    copy.write_bytes(own.content("own")[: -len("a signed head\n")])
    with sqlite3.connect(copy) as connection:
        ((rows,),) = connection.execute("SELECT count(*) FROM audit").fetchall()
        assert rows % 10 == 0
    await own.take("safe")
    assert {part.key.rpartition("/")[2] for part in own.newest("safe").manifest.parts} == {*names, "store.db.key"}
    # A store on PostgreSQL is dumped as any database is.
    there = desk(tmp_path / "b", {"host": {"kind": "host"}}, [backups[0]], store=postgres_server.url(database="app"))
    await there.take("own")
    database = there.newest("own").manifest.database
    assert database is not None
    assert "public.jobs" in {table.name for table in database.tables}
