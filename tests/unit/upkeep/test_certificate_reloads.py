"""How a proxy that serves a certificate is told to read it again: by its pid file, or by its command where it runs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from opsbook.connectors.executors import certificate
from opsbook.connectors.http import ProxyComponent


def proxy(**more: Any) -> ProxyComponent:
    return ProxyComponent.model_validate({"kind": "proxy", "url": "http://127.0.0.1:1", "workload": "web", **more})


def test_one_in_a_container_is_told_by_its_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Told:
        def __init__(self, _where: Any, one: Any, *_: Any) -> None:
            self.one = one if isinstance(one, str) else one.pid_file

        async def take(self, _content: bytes) -> None:
            told.append(self.one)

    monkeypatch.setattr(certificate, "MasterProcess", Told)
    monkeypatch.setattr(certificate, "ProxyWorkload", Told)
    system = SimpleNamespace(components={
        "here": proxy(maintenance={"include": "a.conf", "pid_file": "nginx.pid"}),
        "contained": proxy(maintenance={"include": "a.conf"}, reload={}),
    })  # fmt: skip
    connections: Any = SimpleNamespace(system=system)
    install = certificate.Install(connections)
    asyncio.run(install._read_again(["here", "contained"]))
    assert told == ["nginx.pid", "contained"]
