"""A node of a disposable cluster taken out for work, and used again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opsbook.book.system import System
from tests.integration.cluster import BEAT, deployment, needs_kubernetes, new_namespace, python
from tests.integration.hands import hands_of

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("kubernetes"), needs_kubernetes]
OPSBOOK = Path(sys.executable).with_name("opsbook")


def opsbook(system: System, *arguments: str) -> dict[str, Any]:
    argv = [str(OPSBOOK), *arguments, "--book", str(system.folder), "--format", "json"]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False
    )  # fmt: skip
    assert done.stdout, done.stderr
    view: dict[str, Any] = json.loads(done.stdout)
    return view


async def test_a_node_is_emptied_worked_on_and_used_again() -> None:
    checks = [{"id": "worker", "observe": "workload.missing", "of": "worker"}]
    components = {"worker": {"kind": "workload", "replicas": 1}, "cluster": {"kind": "cluster"}}
    with new_namespace(deployment("worker", python("worker", BEAT))) as cluster:
        system = cluster.system(components, checks=checks)
        async with hands_of(system) as hands:
            await hands.do("workload.scale", of="worker", replicas=1)
            (pod,) = await hands.connections.runtime.pods("worker")  # type: ignore[attr-defined]
        view = opsbook(system, "run", "maintain-node", f"node={pod.node}", "lose_local_data=true", "--yes")
        try:
            assert view["state"] == "waits for a person", view["message"]
            async with hands_of(system) as hands:
                pods = await hands.connections.runtime.pods("worker")  # type: ignore[attr-defined]
                assert not any(one.node == pod.node and not one.ending for one in pods), "it is empty"
            view = opsbook(system, "runs", "tick", view["id"])
            assert view["state"] == "done", view["message"]
        finally:
            async with hands_of(system) as hands:
                await hands.do("node.uncordon", of="cluster", node=pod.node)
        async with hands_of(system) as hands:
            assert (await hands.connections.runtime.status("worker")).workload.ready == 1
