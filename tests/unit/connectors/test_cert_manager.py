"""cert-manager is asked by the condition that its own tool sets, once, and waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.integration.hands import Out
from tests.integration.servers import make_system

from opsbook.connectors.certificates.cert_manager import kept_by_cert_manager
from opsbook.connectors.change import Change, ChangeFailed, Done
from opsbook.connectors.executors import certificate_ask
from opsbook.errors import Refused

READY = {"type": "Ready", "status": "True", "message": "it is up to date"}


class Objects:
    """One Certificate, and a controller that issues when it has been asked, after so many looks."""

    def __init__(self, issues_after: int) -> None:
        self.asked: list[dict[str, Any]] = []
        self.left = issues_after
        self.namespace = self.api = self
        self.one: dict[str, Any] = {
            "metadata": {"name": "own", "generation": 3, "resourceVersion": "7"}, "spec": {"secretName": "own-tls"},
            "status": {"revision": 1, "conditions": [READY]},
        }  # fmt: skip

    async def path(self, *parts: Any) -> str:
        return "/".join(str(one) for one in parts[2:])

    async def pages(self, path: str) -> AsyncIterator[dict[str, Any]]:
        assert path == "certificates"
        if self.asked:
            self.left -= 1
        if self.asked and self.left == 0:
            self.one["status"] = {"revision": 2, "notAfter": "2031-01-01T00:00:00Z", "conditions": [READY]}
        yield self.one

    async def patch(self, path: str, body: dict[str, Any]) -> None:
        assert path == "certificates/own/status"
        assert body["metadata"] == {"resourceVersion": "7"}
        self.asked.append(body["status"])
        self.one["status"] = {**self.one["status"], **body["status"]}


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    certificate = {"id": "own", "of": "site", "names": ["a.test"], "method": "runtime", "certificate": "secret:own-tls"}
    system = make_system(tmp_path, {"site": {"kind": "tls", "address": "a:1"}}, certificates=[certificate])
    monkeypatch.setattr(certificate_ask, "kubernetes_of", lambda runtime: runtime)
    monkeypatch.setattr(certificate_ask, "LOOK_SECONDS", 0.0)

    async def asking(objects: Objects, within: float) -> Any:
        connections: Any = SimpleNamespace(system=system, runtime=objects)
        change = Change("certificate-ask", {"certificate": "own", "name": "own", "revision": 1, "within": within})
        return await certificate_ask.Ask(connections).apply("run/ask/0", change, None, Out())

    asking.system = system  # type: ignore[attr-defined]
    return asking


async def test_it_is_asked_once_and_what_is_issued_is_told(ask: Any) -> None:
    objects = Objects(3)
    assert await ask(objects, 5.0) == Done({"revision": 2, "ends": "2031-01-01T00:00:00Z"})
    (status,) = objects.asked
    assert status["conditions"][0] == READY
    (issuing,) = [one for one in status["conditions"] if one["type"] == "Issuing"]
    assert (issuing["status"], issuing["reason"], issuing["observedGeneration"]) == ("True", "ManuallyTriggered", 3)
    assert await ask(objects, 5.0) == Done({"revision": 2, "ends": "2031-01-01T00:00:00Z"}), "twice is once"
    assert len(objects.asked) == 1


async def test_what_is_not_issued_in_time_is_told_in_its_words(ask: Any) -> None:
    with pytest.raises(ChangeFailed, match="has not issued own: Certificate re-issuance manually triggered"):
        await ask(Objects(10**9), 0.01)


async def test_a_secret_that_it_does_not_keep_is_refused(ask: Any) -> None:
    objects: Any = Objects(1)
    objects.one["spec"]["secretName"] = "another"
    with pytest.raises(Refused, match="no Certificate of cert-manager keeps the Secret own-tls"):
        await kept_by_cert_manager(ask.system, objects, ask.system.model.certificates[0])
