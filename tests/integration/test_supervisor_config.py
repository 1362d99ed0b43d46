"""Configurations of programs of this host deployed like versions: a file, then a restart or a command of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.config_files import versions
from opsbook.errors import Refused
from tests.integration.hands import hands_of
from tests.integration.servers import make_system
from tests.integration.supervisord import Supervisord, new_supervisord

pytestmark = pytest.mark.real
PROGRAM = """\
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
here = pathlib.Path(sys.argv[1])
level = dict(line.split("=") for line in (here / "app.env").read_text().split())["LEVEL"]
if level == "unknown":
    sys.exit("there is no level unknown")
(here / "runs-with").write_text(level)
while True:
    time.sleep(0.2)
"""
KNOWN = "import sys; sys.exit('LEVEL is missing' if 'LEVEL' not in open(sys.argv[1]).read() else 0)"


@pytest.fixture
def server() -> Iterator[Supervisord]:
    with new_supervisord() as found:
        found.stop()
        (found.folder / "program.py").write_text(PROGRAM)
        (found.folder / "app.env").write_text("LEVEL=info\nCACHE=on\n")
        (found.folder / "app.ini").write_text("colour = blue\n")
        command = f"{sys.executable} -S {found.folder}/program.py {found.folder}"
        section = found.section("api", command=command).replace("startsecs = 0", "startsecs = 1")
        found.write(programs=section)
        yield found.start()


def system(server: Supervisord, **config: Any) -> System:
    runtime = {"kind": "supervisor", "config": str(server.config)}
    files = [str(server.folder / name) for name in ("app.env", "app.ini")]
    return make_system(
        server.folder, {"api": {"kind": "workload"}}, environments={"test": {"policy": "open", "runtime": runtime}},
        deploys={"components": {"api": {"config": {"files": files, **config}}}},
    )  # fmt: skip


def level(folder: Path) -> str:
    return (folder / "runs-with").read_text()


async def test_a_value_is_read_by_a_restart_and_what_does_not_come_up_is_put_back(server: Supervisord) -> None:
    folder, file = server.folder, server.folder / "app.env"
    check = [sys.executable, "-c", KNOWN, str(file)]
    async with hands_of(system(server, check=check)) as hands:
        await hands.do("workload.start", of="api")
        assert level(folder) == "info"
        change = await hands.only("config.deploy", of="api", values='{"LEVEL": "debug"}', wait=30)
        await hands.apply(change)
        assert (level(folder), file.read_text()) == ("debug", "LEVEL=debug\nCACHE=on\n")
        with pytest.raises(ChangeFailed, match=r"app\.env was put back"):
            await hands.do("config.deploy", of="api", values='{"LEVEL": "unknown"}', wait=15)
        assert (level(folder), file.read_text()) == ("debug", "LEVEL=debug\nCACHE=on\n")
        before = [one.pid for one in (await hands.connections.runtime.status("api")).instances]
        with pytest.raises(ChangeFailed, match=r"LEVEL is missing.*app\.env was put back"):
            await hands.do("config.deploy", of="api", values='{"LEVEL": null}', wait=15)
        after = [one.pid for one in (await hands.connections.runtime.status("api")).instances]
        assert after == before, "what the check refused, it never read"
        assert file.read_text() == "LEVEL=debug\nCACHE=on\n"
        await hands.undo(change)
        assert (level(folder), file.read_text()) == ("info", "LEVEL=info\nCACHE=on\n")
        assert len(versions(file)) == 2
        stale = await hands.only("config.deploy", of="api", values='{"LEVEL": "debug"}', wait=30)
        file.write_text("LEVEL=warning\n")
        with pytest.raises(Refused, match="was changed since this was planned"):
            await hands.apply(stale)


async def test_a_program_that_reads_its_file_again_is_not_restarted(server: Supervisord) -> None:
    folder = server.folder
    reload = [sys.executable, "-c", "import shutil, sys; shutil.copy(*sys.argv[1:])", str(folder / "app.ini"),
              str(folder / "taken.ini")]  # fmt: skip
    async with hands_of(system(server, reload=reload)) as hands:
        await hands.do("workload.start", of="api")
        before = [one.pid for one in (await hands.connections.runtime.status("api")).instances]
        await hands.do("config.deploy", of="api", values='{"app.ini": "colour = green\\n"}')
        assert (folder / "taken.ini").read_text() == "colour = green\n"
        assert [one.pid for one in (await hands.connections.runtime.status("api")).instances] == before
