"""A disk that is full in the middle of a deploy: what served serves on, and with room again it goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.runtimes.supervisor_releases import Releases
from opsbook.connectors.switches.file import FileSwitch

pytestmark = pytest.mark.real
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 64 KiB."""
    argv = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True, capture_output=True)


def filled(disk: Path) -> Path:
    """A file that takes all room that is left."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 512)
    return path


def test_the_symlink_of_releases_stays_where_it_is_and_the_record_stays_whole(disk: Path) -> None:
    for version in ("1", "2", "3"):
        (disk / "releases" / version).mkdir(parents=True)
    (disk / "current").symlink_to("releases/1")
    releases = Releases(disk / "releases", disk / "current")
    releases.switch("2", NOW)
    record = disk / "releases" / ".deploys.jsonl"
    # So full that a line no longer fits: it may be cut anywhere.
    with record.open("a") as file:
        file.write(" " * (4096 - record.stat().st_size - 1) + "\n")
    filler = filled(disk)
    with pytest.raises(OSError, match="No space left"):
        releases.switch("3", NOW + timedelta(minutes=1))
    assert releases.running() == "2", "nothing was switched"
    assert sorted(os.listdir(disk)) == ["current", "filler", "releases"], "nothing is left over"
    filler.unlink()
    with record.open("a") as file:
        file.write('{"vers')  # a line that was cut
    releases.switch("3", NOW + timedelta(minutes=2))
    assert (releases.running(), releases.previous()) == ("3", "2")


class Proxy:
    """Counts how often it was told to read its file."""

    def __init__(self) -> None:
        self.told = 0

    async def take(self, content: bytes) -> None:
        self.told += 1


async def test_the_file_of_a_proxy_stays_whole_and_the_proxy_is_not_told(disk: Path) -> None:
    for side in ("blue", "green"):
        (disk / f"side.conf.{side}").write_text(f"server {side}:8000;\n" * 200)
    (disk / "side.conf").write_bytes((disk / "side.conf.blue").read_bytes())
    switch = FileSwitch(disk / "side.conf", proxy := Proxy())
    filler = filled(disk)
    with pytest.raises(ChangeFailed, match="No space left"):
        await switch.send("green")
    assert (await switch.active(), proxy.told) == ("blue", 0)
    assert sorted(os.listdir(disk)) == ["filler", "side.conf", "side.conf.blue", "side.conf.green"]
    filler.unlink()
    await switch.send("green")
    assert (await switch.active(), proxy.told) == ("green", 1)
