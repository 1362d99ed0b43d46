"""Commands in pods whose node is away: nobody answers, and it ends all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from opsbook.connectors.runtimes import kubernetes_exchange
from opsbook.connectors.runtimes.kubernetes_exchange import TAKEN, exchange, why_gone
from opsbook.connectors.runtimes.kubernetes_pods import Pod

POD = Pod("web-0", ("", ""), "Running", True, "", None, 0, "node7", {"web": "r/web:1"}, False)


def told(uid: str = "1", container: str = "c1", phase: str = "Running", **keys: Any) -> dict[str, Any]:
    state = keys.pop("state", {"running": {}})
    status = {"phase": phase, "containerStatuses": [{"name": "web", "containerID": container, "state": state}],
              **keys.pop("status", {})}  # fmt: skip
    return {"metadata": {"uid": uid, **keys}, "status": status}


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (told(), ""),
        (told(deletionTimestamp="2026-01-01T00:00:00Z"), ""),
        (told(uid="2"), TAKEN),
        (told(phase="Failed", status={"reason": "Evicted", "message": "The node was low on memory."}),
         "its pod has ended (Evicted: The node was low on memory.)"),
        (told(state={"terminated": {"exitCode": 137}}), "its container has ended meanwhile, or was started anew"),
        (told(container="c2"), "its container has ended meanwhile, or was started anew"),
    ],
)  # fmt: skip
def test_it_tells_when_nothing_can_run_any_more(now: dict[str, Any], why: str) -> None:
    assert why_gone(told(), now, "web") == why


async def test_a_command_on_a_node_that_is_away_ends_when_its_pod_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_LOOK_SECONDS", "LOOK_SECONDS", "LAST_WORDS_SECONDS", "OVERDUE_SECONDS"):
        monkeypatch.setattr(kubernetes_exchange, name, 0.01)

    class Away:
        """An API server that has sent the command to a node that never answers."""

        @asynccontextmanager
        async def socket(self, *_: Any) -> AsyncIterator[Away]:
            yield self

        async def receive_bytes(self) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

        async def get(self, _: str) -> dict[str, Any]:
            return told(deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=0)

    runtime: Any = SimpleNamespace(api=Away(), namespace=SimpleNamespace(core=lambda *words: "/".join(words)))

    async def hear(*_: Any) -> None:
        raise AssertionError

    async with asyncio.timeout(5):
        code, words = await exchange(runtime, POD, "web", ["sleep", "1000"], hear)
    assert code is None
    assert words == f"{TAKEN}; its node node7 does not say that it has ended, and may be away"
