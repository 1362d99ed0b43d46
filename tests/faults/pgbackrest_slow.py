"""pgBackRest interrupted: a backup that is killed, a restore that is killed, and points of every kind. Slow."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from opsbook.connectors.backups.catalogue import backup_named
from opsbook.connectors.backups.pgbackrest import Call, stanza_of
from opsbook.connectors.backups.postgres_restore import Interrupted
from opsbook.connectors.backups.scratch import PREFIX
from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.process_tree import carriers
from tests.integration.buckets import KEY, SECRET
from tests.integration.restoring import Shop, prepared
from tests.integration.servers import free_port, gone, new_postgres, own_folder, until
from tests.integration.test_pgbackrest import held, moment, shop

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgbackrest is not installed"),
    pytest.mark.timeout(600),
]
__all__ = ["shop"]
PHRASE = "a passphrase that nobody reads"


def applied_in_a_child(shop: Shop, change: Change, key: str) -> int:
    """The pid of a process that applies a change."""
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(shop.apply(change, key))
        finally:
            os._exit(0)
    return pid


def killed(pid: int, when: Callable[[], object]) -> None:
    try:
        until(when, 60)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def planned(shop: Shop, operation: str, **given: str) -> Change:
    (change,) = asyncio.run(shop.plan(operation, backup="wal", **given))
    return change


def test_a_backup_outlives_its_opsbook_and_is_not_taken_twice(shop: Shop) -> None:
    change, before = planned(shop, "backup.take"), len(held(shop).backups)
    killed(applied_in_a_child(shop, change, "outlived/take/0"), lambda: held(shop).locked)
    assert carriers("outlived/take/0"), "pgBackRest goes on"
    told = asyncio.run(shop.apply(change, "outlived/take/0"))
    assert len(held(shop).backups) == before + 1
    assert held(shop).backups[-1].label == told["label"]


def test_a_backup_that_is_stopped_leaves_nothing_listed_and_the_next_one_is_whole(shop: Shop) -> None:
    before, stop = len(held(shop).backups), threading.Event()
    call = Call(stanza_of(shop.system, backup_named(shop.system, "wal")), "stopped/take/0", stop)

    def take() -> None:
        with pytest.raises(Interrupted):
            call.run("backup", "--type=full")

    taking = threading.Thread(target=take)
    taking.start()
    until(lambda: held(shop).locked, 60)
    stop.set()
    taking.join(60)
    assert not carriers("stopped/take/0")
    assert len(held(shop).backups) == before
    asyncio.run(shop.do("backup.take", backup="wal"))
    assert len(held(shop).backups) == before + 1
    assert asyncio.run(shop.do("backup.verify", backup="wal"))["good"]


@pytest.mark.parametrize("place", ["log", "base"])
def test_a_killed_restore_leaves_the_live_database_and_the_next_one_cleans_up(shop: Shop, place: str) -> None:
    """Killed while the cluster is copied, and while its log is replayed."""
    parent, name = Path(tempfile.gettempdir()), f"after_{place}"
    before = moment(shop)
    ((count,),) = shop.rows("SELECT count(*) FROM parent")
    shop.rows("INSERT INTO parent VALUES (1000)")
    others = set(parent.glob(f"{PREFIX}*"))

    def left() -> list[Path]:
        return [one for one in parent.glob(f"{PREFIX}*") if one not in others]

    def there() -> bool:
        return any((one / ("log" if place == "log" else "data/base")).exists() for one in left())

    change = planned(shop, "postgres.restore_at", to=name, at=before)
    killed(applied_in_a_child(shop, change, f"killed/{place}/0"), there)
    assert name not in shop.databases()
    assert shop.rows("SELECT count(*) FROM parent") == [(count + 1,)]
    abandoned = left()
    assert abandoned, "a killed process removes nothing"
    asyncio.run(shop.apply(change, f"killed/{place}/0"))
    assert shop.rows("SELECT count(*) FROM parent", name) == [(count,)]
    assert [one for one in abandoned if one.exists()] == [], "what a dead process left is removed by the next"
    assert [one for one in shop.databases() if one.startswith("opsbook_")] == []
    for folder in abandoned:
        for pid in (int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            assert str(folder).encode() not in words or gone(pid)


def test_a_point_that_nobody_made_is_looked_for_in_every_backup_and_then_refused(shop: Shop) -> None:
    with pytest.raises(ChangeFailed, match="is not in the log"):
        asyncio.run(shop.do("postgres.restore_at", backup="wal", to="never", point="nobody made it"))
    assert "never" not in shop.databases()


async def test_a_place_in_the_log_a_name_a_transaction_and_the_end_are_points_too(shop: Shop) -> None:
    shop.rows("INSERT INTO parent VALUES (2100)")
    ((lsn,),) = shop.rows("SELECT pg_current_wal_insert_lsn()::text")
    shop.rows("INSERT INTO parent VALUES (2101)")
    shop.rows("SELECT pg_create_restore_point('before the release')")
    ((xid, _),) = shop.rows(
        "WITH new AS (INSERT INTO parent VALUES (2102) RETURNING a) SELECT txid_current(), a FROM new"
    )
    shop.rows("INSERT INTO parent VALUES (2103)")
    points = {
        "lsn": (lsn, 2100),
        "point": ("before the release", 2101),
        "xid": (str(xid), 2102),
        "at": ("latest", 2103),
    }
    for kind, (value, last) in points.items():
        await shop.do("postgres.restore_at", backup="wal", to=f"by_{kind}", tables="parent", **{kind: value})
        assert shop.rows("SELECT max(a) FROM parent", f"by_{kind}") == [(last,)], kind


@contextmanager
def bucket_by_tls(folder: Path) -> Iterator[int]:
    """The port of an S3 server with a certificate of its own, `ca.pem` in the folder."""
    program = str(Path(sys.executable).with_name("rclone"))  # one of the system may be too old to serve
    if not Path(program).exists():
        pytest.skip("not installed: rclone")
    make_certificate(folder / "ca.pem", folder / "key.pem")
    (folder / "s3" / "bucket").mkdir(parents=True)
    port = free_port()
    argv = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", "--cert",
            str(folder / "ca.pem"), "--key", str(folder / "key.pem"), "--config",
            "/dev/null", str(folder / "s3")]  # fmt: skip
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), 60)
        yield port
    finally:
        process.kill()
        process.wait(10)


def make_certificate(certificate: Path, key: Path) -> None:
    """For localhost, signed by itself: pgBackRest takes names alone."""
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(own.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1)).add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(own, hashes.SHA256())
    )  # fmt: skip
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(own.private_bytes(*pem))


def test_an_encrypted_repository_in_a_bucket_leads_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with new_postgres(archive_mode="on", archive_command="/bin/true") as server, own_folder("pgs3") as folder:
        folder.chmod(0o755)
        with bucket_by_tls(folder) as port:
            for name, value in (("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET), ("PHRASE", PHRASE)):
                monkeypatch.setenv(name, value)
            made = prepared(server, folder)
            told = {
                "config": str(folder / "etc" / "pgbackrest.conf"),
                "ca": str(folder / "ca.pem"),
                "cipher": "${PHRASE}",
            }
            to = f"s3://bucket/backups?endpoint=https://localhost:{port}&region=us-east-1"
            made.keys = {"backup": {"id": "wal", "method": "pgbackrest", "to": to, "pgbackrest": told}}
            changes = asyncio.run(made.plan("pgbackrest.configure", backup="wal"))
            assert not [one for one in changes if SECRET in str(one) or PHRASE in str(one)], "plans hold no secret"
            asyncio.run(made.do("pgbackrest.configure", backup="wal"))
            asyncio.run(made.do("backup.take", backup="wal"))
            assert held(made).cipher == "aes-256-cbc"
            before = moment(made)
            made.rows("DROP TABLE orders CASCADE")
            asyncio.run(made.do("postgres.restore_at", backup="wal", to="then", at=before))
            assert made.rows("SELECT count(*) FROM orders", "then") == [(12000,)]
