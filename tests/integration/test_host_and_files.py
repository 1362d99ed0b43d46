"""This machine and its files, as the kernel tells them."""

from __future__ import annotations

import os
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from opsbook.connectors.contract import Failure, Reading
from opsbook.connectors.growth import remember
from opsbook.connectors.logins import UTMP
from opsbook.connectors.registry import open_connections
from tests.integration.servers import ask, make_system

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSBOOK_STATE", str(tmp_path / "state"))


async def read(folder: Path, component: dict[str, Any], *facts: Any) -> list[Reading]:
    async with open_connections(make_system(folder, {"it": component})) as connections:
        return await ask(connections, "it", *facts)


async def host(folder: Path, *facts: Any) -> list[Reading]:
    return await read(folder, {"kind": "host"}, *facts)


async def test_the_machine_tells_its_load(tmp_path: Path) -> None:
    cpu, load, memory, descriptors, uptime, processes = await host(
        tmp_path, "host.cpu", "host.load", "host.memory", "host.file_descriptors", "host.uptime", "host.processes"
    )
    assert 0 <= cpu.value <= 1
    assert load.value == pytest.approx(os.getloadavg()[1] / (os.cpu_count() or 1), abs=0.3)
    assert memory.value == pytest.approx(psutil.virtual_memory().percent / 100, abs=0.1)
    assert 0 <= descriptors.value < 1
    assert uptime.value > 0
    assert processes.value >= 2
    assert processes.detail["by_memory"][0]["memory"] >= processes.detail["by_memory"][-1]["memory"]


async def test_the_machine_tells_its_disks_and_networks(tmp_path: Path) -> None:
    free, size, inodes, disk, network, nothing = await host(
        tmp_path, ("host.disk_free", {"path": str(tmp_path)}), "host.disk_free_bytes",
        ("host.inodes_free", {"path": str(tmp_path)}), "host.disk_io", ("host.network_io", {"device": "lo"}),
        ("host.disk_free", {"path": "/no/such/place"}),
    )  # fmt: skip
    assert free.value == pytest.approx(1 - psutil.disk_usage(str(tmp_path)).percent / 100, abs=0.02)
    assert size.value > 0
    assert inodes.failure is Failure.ABSENT or 0 < inodes.value <= 1
    assert disk.failure is Failure.ABSENT or disk.value >= 0
    assert network.value >= 0
    assert nothing.failure is Failure.UNREACHABLE


async def test_when_a_disk_is_full_is_known_from_earlier_looks(tmp_path: Path) -> None:
    fact = ("host.disk_full_in", {"path": str(tmp_path)})
    (first,) = await host(tmp_path, fact)
    assert first.failure is Failure.ABSENT
    used = psutil.disk_usage(str(tmp_path)).used
    state = tmp_path / "other"
    os.environ["OPSBOOK_STATE"] = str(state)
    now = time.time()
    remember(str(tmp_path), now - 7200, used - 2e9, state)
    remember(str(tmp_path), now - 3600, used - 1e9, state)
    (known,) = await host(tmp_path, fact)
    free = known.detail["free"]
    assert known.value == pytest.approx(free / (1e9 / 3600), rel=0.1)


async def test_failed_log_ins_are_counted_from_text_and_binary_records(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    text = tmp_path / "auth.log"
    text.write_text(
        f"{(now - timedelta(days=3)).isoformat()} host sshd[1]: Failed password for root from 192.0.2.1 port 1 ssh2\n"
        f"{now.isoformat()} host sshd[1]: Failed password for invalid user admin from 192.0.2.7 port 1 ssh2\n"
        f"{now.isoformat()} host sshd[1]: Failed password for root from 192.0.2.7 port 1 ssh2\n"
        f"{now.isoformat()} host sshd[1]: Accepted publickey for root from 192.0.2.8 port 1 ssh2\n"
    )
    binary = tmp_path / "btmp"
    binary.write_bytes(
        UTMP.pack(6, 1, b"ssh", b"", b"root", b"192.0.2.9", 0, 0, 0, int(now.timestamp()), 0, 0, 0, 0, 0)
        + UTMP.pack(6, 1, b"ssh", b"", b"root", b"192.0.2.9", 0, 0, 0, int(now.timestamp()) - 9 * 86400, 0, 0, 0, 0, 0)
    )
    assert struct.calcsize(UTMP.format) == 384
    one, two, absent = await host(
        tmp_path, *(("host.failed_logins", {"path": str(path)}) for path in (text, binary, tmp_path / "absent"))
    )
    assert one.value == 2
    assert one.detail["by_host"] == {"192.0.2.7": 2}
    assert two.value == 1
    assert two.detail["by_user"] == {"root": 1}
    assert (absent.value, absent.failure) == (None, Failure.FAILED)


async def test_files_are_counted_sized_and_dated(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.csv").write_bytes(b"x" * 1000)
    (folder / "deep" / "b.json").write_bytes(b"x" * 500)
    os.utime(folder / "a.csv", (time.time() - 3600,) * 2)
    os.utime(folder / "deep" / "b.json", (time.time() - 60,) * 2)
    (folder / "loop").symlink_to(folder)
    size, count, newest, csv, quota, none = await read(
        tmp_path, {"kind": "files", "path": "artifacts", "quota": "3kB"},
        "files.size", "files.count", "files.newest_age", ("files.newest_age", {"pattern": "*.csv"}),
        "files.quota_used", ("files.newest_age", {"pattern": "*.zip"}),
    )  # fmt: skip
    assert size.value == 1500
    assert count.value == 2
    assert newest.value == pytest.approx(60, abs=10)
    assert csv.value == pytest.approx(3600, abs=10)
    assert quota.value == pytest.approx(0.5)
    assert none.failure is Failure.ABSENT


async def test_a_folder_that_is_not_there_is_not_empty(tmp_path: Path) -> None:
    for reading in await read(
        tmp_path, {"kind": "files", "path": "absent"}, "files.count", "files.size", "logs.errors"
    ):
        assert reading.value is None
        assert reading.failure is Failure.UNREACHABLE


async def test_errors_in_log_files_are_counted_by_type(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    now = datetime.now().astimezone()
    old = now - timedelta(days=1)
    (logs / "api.log").write_text(
        f"{old:%Y-%m-%d %H:%M:%S} ERROR yesterday\n"
        f"{now:%Y-%m-%d %H:%M:%S} ERROR trouble\nTraceback (most recent call last):\n  File x\n"
        "redis.exceptions.ConnectionError: refused\n"
        f"{now:%Y-%m-%d %H:%M:%S} INFO fine\n"
    )
    (logs / "access.log").write_text(f'127.0.0.1 - - [{now:%d/%b/%Y:%H:%M:%S %z}] "GET / HTTP/1.1" 502 157\n')
    (logs / "json.log").write_text(
        f'{{"timestamp": "{now.isoformat()}", "level": "error", "message": "KeyError: x"}}\n'
    )
    (logs / "notes.txt").write_text("ERROR not a log\n")
    (reading,) = await read(tmp_path, {"kind": "files", "path": "logs"}, "logs.errors")
    assert reading.detail["by_type"] == {"ERROR": 1, "ConnectionError": 1, "HTTP 502": 1, "KeyError": 1}
    assert reading.value == 4
