"""Everything restarted in the order in which it is needed, on every runtime; cut off, it goes on where it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from opsbook.book.system import System
from tests.integration.eventually import eventually
from tests.integration.hands import hands_of
from tests.integration.on_runtimes import on_each
from tests.integration.servers import until
from tests.integration.test_inside import SUBJECTS, Subject

pytestmark = pytest.mark.real
OPSBOOK = Path(sys.executable).with_name("opsbook")

subject = on_each(SUBJECTS, scope="function")


@pytest.fixture
def system(subject: Subject) -> System:
    return subject.system


def opsbook(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(OPSBOOK), *arguments, "--book", str(system.folder)], capture_output=True, text=True,
                          timeout=300, stdin=subprocess.DEVNULL, check=False)  # fmt: skip


def begun(system: System) -> subprocess.Popen[bytes]:
    return subprocess.Popen([str(OPSBOOK), "run", "restart-all", "--yes", "--book", str(system.folder)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def newest(system: System) -> dict[str, Any] | None:
    done = opsbook(system, "runs", "--limit", "1", "--format", "json")
    runs: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return runs[0] if runs else None


async def started(system: System, workload: str) -> set[tuple[str, datetime | None]]:
    async with hands_of(system) as hands:
        status = await hands.connections.runtime.status(workload)
    return {(one.name, one.started) for one in status.instances if one.ready}


async def test_it_restarts_what_runs_and_starts_what_is_down_in_order(system: System) -> None:
    async with hands_of(system) as hands:
        await hands.do("workload.start", of="web", health=False)
    before = await started(system, "web")
    assert before, "it runs"
    done = opsbook(system, "run", "restart-all", "--yes", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    view = json.loads(done.stdout)
    steps = [step["id"] for step in view["steps"]]
    assert steps.index("renew-web") < steps.index("renew-worker"), "what is needed comes first"
    after, worker = await started(system, "web"), await started(system, "worker")
    assert after
    assert not before & after, "every instance is a new one"
    assert len(worker) == 2, "what was down runs"
    assert min(at for _, at in worker if at) >= min(at for _, at in after if at)


@pytest.mark.xdist_group("supervisor")
@pytest.mark.parametrize("subject", ["supervisor"], indirect=True)
async def test_cut_off_it_goes_on_where_it_was(system: System) -> None:
    async with hands_of(system) as hands:
        await hands.do("workload.start", of="web", health=False)
        await hands.do("workload.start", of="worker")

    async def both() -> bool:  # what does not run yet when the restart is planned is not restarted
        return len(await started(system, "web")) == 2

    await eventually(both)
    run = begun(system)
    first = until(lambda: newest(system), 60, "a run is there")
    run.send_signal(signal.SIGKILL)
    run.wait(30)
    done = opsbook(system, "runs", "follow", first["id"], "--format", "json")
    assert (newest(system) or {}).get("state") == "done", done.stdout + done.stderr
    await eventually(both)
    assert len(await started(system, "worker")) == 2
