"""Data folders of servers: the same acts on this host, and by the scripts that run beside a container."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.postgres_folder import DataFolder, Here, Place
from opsbook.connectors.postgres_folder_inside import Within, _Lines
from opsbook.connectors.postgres_wal import Counted
from opsbook.connectors.runtimes.beside import ERRORS, OUT, Hear, Said


class Local:
    """Stands for the container beside: the same scripts, run on this host."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        seconds: float,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        hear: Hear | None = None,
    ) -> Said:
        """Run it."""
        if argv[0] == "sync":
            _, file, folder = argv  # no other disk
            assert file.startswith(f"{folder}/")
            return Said(0, "", "")
        pipe = asyncio.subprocess.PIPE
        async with asyncio.timeout(seconds):
            child = await asyncio.create_subprocess_exec(
                *argv, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, **(env or {})}
            )
            out, err = await child.communicate(stdin)
        if hear is not None:
            await hear(OUT, out)
        return Said(child.returncode, out.decode(), err.decode())

    async def put(self, path: str, data: bytes, owner: tuple[int, int] | None = None) -> None:
        """Write it."""
        await asyncio.to_thread(_put, Path(path), data, owner)

    async def address(self, port: int) -> tuple[str, int]:
        """Never asked for."""
        raise NotImplementedError


def _put(path: Path, data: bytes, owner: tuple[int, int] | None) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
    if owner:
        os.chown(path, *owner)


@pytest.fixture(params=["here", "beside"])
def place(request: pytest.FixtureRequest) -> Place:
    return Here("key") if request.param == "here" else Within(Local(), "db")


async def test_it_fences_the_folder_and_lifts_only_its_own_fence(place: Place, tmp_path: Path) -> None:
    data = tmp_path / "data"
    folder = DataFolder(place, data)
    await folder.fence()
    assert not await folder.there() and not data.exists(), "nothing is laid where no folder is"
    data.mkdir()
    await folder.fence()
    assert await folder.fenced()
    assert stat.S_IMODE((data / "standby.signal").stat().st_mode) == 0o600
    assert await folder.lift()
    assert not (data / "standby.signal").exists()
    (data / "standby.signal").write_text("")
    assert not await folder.fenced() and not await folder.lift()
    assert (data / "standby.signal").exists(), "the signal of a standby is no fence"


async def test_it_keeps_configuration_aside_and_moves_folders_whole(place: Place, tmp_path: Path) -> None:
    data, kept, aside = tmp_path / "a b", tmp_path / "kept", tmp_path / "aside"
    data.mkdir()
    for name in ("postgresql.conf", "pg_hba.conf", "PG_VERSION"):
        (data / name).write_text(f"{name} $HOME `x`\n")
    (data / "conf.d.conf").mkdir()
    assert await place.settings(data) == ["pg_hba.conf", "postgresql.conf"]
    await place.make(kept, data)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    await place.copy([data / "pg_hba.conf", data / "PG_VERSION"], kept)
    assert await place.read(kept / "pg_hba.conf") == "pg_hba.conf $HOME `x`\n"
    await place.write(kept / "pg_hba.conf", "é\n")
    assert await place.read(kept / "pg_hba.conf") == "é\n"
    assert (await place.read(kept / "absent"), await place.read(aside / "absent")) == (None, None)
    assert [await place.kind(one) for one in (data, kept / "PG_VERSION", aside)] == ["folder", "file", ""]
    await place.move(data, aside)
    assert not data.exists() and (aside / "PG_VERSION").exists()
    with pytest.raises(ChangeFailed, match="aside"):
        await place.move(kept, aside)
    for path in (aside, kept, tmp_path / "never"):
        await place.remove(path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("knows", "said"), [("-f  sync the file systems", "-f /data"), ("--version", "")])
async def test_it_writes_the_file_system_of_the_folder_alone_where_the_image_can(
    knows: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "sync"
    program.write_text(f'#!/bin/sh\n[ "$1" = --help ] && echo "{knows}" || echo "$@" > {tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    await Within(Local(), "db").sync(Path("/data"))
    assert (tmp_path / "said").read_text().strip() == said


async def test_it_says_which_program_the_image_lacks(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("3\n")
    with pytest.raises(ChangeFailed, match="pg_absent cannot be run beside db"):
        await Within(Local(), "db").program(tmp_path, "pg_absent")


async def test_it_counts_commits_of_lines_that_come_in_pieces() -> None:
    counted = Counted(0x1000)
    lines = _Lines(counted.take)
    line = "rmgr: Transaction len (rec/tot): 34/    34, tx: 740, lsn: 0/00002000, prev 0/00001000, desc: COMMIT é\n"
    other = "rmgr: Heap        len (rec/tot): 54/    54, tx: 740, lsn: 0/00003000, prev 0/00002000, desc: INSERT\n"
    said = (line + other).encode()
    for start in range(0, len(said), 7):
        await lines.hear(OUT, said[start : start + 7])
    await lines.hear(ERRORS, line.encode())
    assert (counted.lost.commits, counted.lost.end, counted.lost.bytes) == (1, 0x3036, 0x2036)
    assert Counted(5).lost.bytes == 0
