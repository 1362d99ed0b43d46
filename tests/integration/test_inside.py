"""What a workload sees from inside, on every runtime: names, ports, pages, and what it depends on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from opsbook.book.system import System
from opsbook.connectors.contract import Failure
from opsbook.connectors.inside.look import argvs, question_of, read
from opsbook.connectors.inside.reach import reached
from opsbook.connectors.runtimes.contract import LooksInside
from opsbook.errors import UsageError
from opsbook.watch.contract import Watch
from opsbook.watch.gathering import Gathering
from tests.integration.cluster import (
    BEAT,
    GIVEN,
    NOT_GIVEN,
    SERVE,
    WAITS_SECONDS,
    deployment,
    new_namespace,
    python,
    service,
)
from tests.integration.hands import Hands, hands_of
from tests.integration.on_runtimes import on_each
from tests.integration.podman import new_podman
from tests.integration.podman import python as python_service
from tests.integration.servers import ask, free_port
from tests.integration.supervisord import new_supervisord

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Subject:
    """A system whose `worker` needs `web`, which answers, and `gone`, which does not."""

    system: System
    web: str
    """`host:port` of what answers, as the worker knows it."""


def components(web: str, gone: str, **keys: Any) -> dict[str, dict[str, Any]]:
    return {
        "worker": {"kind": "workload", "replicas": 2, "depends_on": ["web", "gone", "host"]},
        "web": {"kind": "http", "url": f"http://{web}", "workload": "web", "health": "/", **keys},
        "gone": {"kind": "tcp", "address": gone, **keys},
        "host": {"kind": "host"},
    }


@contextmanager
def on_supervisor() -> Iterator[Subject]:
    with new_supervisord() as server:
        web = f"127.0.0.1:{server.port}"
        yield Subject(server.system(components(web, f"127.0.0.1:{free_port()}")), web)


@contextmanager
def on_compose() -> Iterator[Subject]:
    published = free_port()
    with new_podman("1") as engine:
        web = python_service(SERVE, ports=[f"127.0.0.1:{published}:8000"])
        engine.write({"worker": python_service(BEAT, deploy={"replicas": 2}), "web": web})
        # `gone` is a service that runs and does not listen there.
        yield Subject(engine.system(components(f"127.0.0.1:{published}", "worker:9999")), "web:8000")


@contextmanager
def on_kubernetes() -> Iterator[Subject]:
    objects = (deployment("worker", python("worker", BEAT), replicas=0), service("web", 8000),
               deployment("web", python("web", SERVE), replicas=0))  # fmt: skip
    with new_namespace(*objects) as cluster:
        yield Subject(cluster.system(components("web:8000", "web:9999", through="runtime")), "web:8000")


SUBJECTS: dict[str, Callable[[], AbstractContextManager[Subject]]] = {
    "supervisor": on_supervisor,
    "compose": on_compose,
    "kubernetes": on_kubernetes,
}
subject = on_each(SUBJECTS)


@pytest.fixture
async def hands(subject: Subject) -> AsyncIterator[Hands]:
    async with hands_of(subject.system) as one:
        await one.do("workload.start", of="web", health=False)
        await one.do("workload.start", of="worker")
        yield one


async def test_it_asks_for_names_ports_and_pages_from_within_a_workload(hands: Hands, subject: Subject) -> None:
    host, web = subject.web.partition(":")[0], subject.web
    name, nowhere, port, named, closed, page, took, lost = await ask(
        hands.connections, "worker",
        ("inside.dns", {"name": host}), ("inside.dns", {"name": "nowhere.invalid"}),
        ("inside.tcp", {"to": web, "instances": "every"}), ("inside.tcp", {"to": "web"}),
        ("inside.tcp", {"to": "gone"}),
        ("inside.http", {"url": f"http://{web}/"}), ("inside.http_time", {"url": f"http://{web}/"}),
        ("inside.http", {"url": f"http://{host}:1/"}),
        within=60,
    )  # fmt: skip
    assert (name.value, nowhere.value) == (True, False), (name, nowhere)
    assert port.value is True, port
    assert named.value is True, "a component stands for its address as it is inside"
    assert isinstance(port.detail, list)
    assert len({row["instance"] for row in port.detail}) == 2, "from every instance"
    assert closed.value is False, closed
    assert page.value == 200, page
    assert isinstance(took.value, float)
    assert 0 < took.value < 60
    assert lost.value is None
    assert lost.failure is Failure.FAILED


async def test_it_tells_what_a_workload_does_not_reach_of_what_it_depends_on(hands: Hands) -> None:
    unreached, allowed = await ask(
        hands.connections, "worker", "inside.unreached", ("inside.allowed", {"to": "web"}), within=60
    )
    assert unreached.value == 1, unreached
    assert "gone" in unreached.message
    assert isinstance(unreached.detail, list)
    states = {(row["to"], row["asked"].partition(" ")[0]): row["ok"] for row in unreached.detail}
    assert states[("web", "http")] is True
    assert states[("gone", "tcp")] is False
    assert states[("host", "")] is None, "what has no address is named, and not hidden"
    assert allowed.value is True
    watch = cast(Watch, SimpleNamespace(connections=hands.connections))
    evidence = (await Gathering(watch)._inside("worker", ["web", "gone"])).splitlines()
    assert any(line.startswith("reached: web (http") for line in evidence), evidence
    assert any(line.startswith("NOT REACHED: gone (tcp") for line in evidence), "what an incident keeps"


async def test_a_shell_sees_the_same_where_the_image_has_no_python(hands: Hands, subject: Subject) -> None:
    runtime, host = hands.connections.runtime, subject.web.partition(":")[0]
    assert isinstance(runtime, LooksInside)
    questions = [
        question_of(one) for one in (host, subject.web, f"http://{subject.web}/", "nowhere.invalid", f"{host}:1")
    ]
    (_, shell, _) = argvs(questions, 3)
    (seen,) = await runtime.look_inside("worker", shell, 60, instances=None, every=False)
    answers = read(seen.instance, questions, seen.said)
    assert [one.ok for one in answers] == [True, True, True, False, False], answers
    assert answers[2].status == 200


async def test_a_value_is_never_read_by_the_shell(hands: Hands) -> None:
    for hostile in ("$(touch /tmp/x):80", "a;b:80", "-oProxy:80", "a b:80", "`id`:1"):
        with pytest.raises(UsageError):
            await reached(hands.connections.of("worker"), [hostile], 1, every=False)


async def test_nothing_that_could_look_is_said_in_a_sentence(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsbook.connectors.inside.look.argvs", lambda *_: [["no-such-program"], ["nor-this"]])
    (one,) = await ask(hands.connections, "worker", ("inside.dns", {"name": "localhost"}), within=60)
    assert one.failure is Failure.FAILED
    assert "neither python3 nor sh" in one.message


@pytest.mark.xdist_group("kubernetes-parts")
@pytest.mark.timeout(WAITS_SECONDS)
@pytest.mark.skipif(not GIVEN, reason=NOT_GIVEN)
async def test_policies_are_read_beside_what_is_seen() -> None:
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "web-in"},
              "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"],
                       "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "front"}}}]}]}}  # fmt: skip
    objects = (deployment("worker", python("worker", BEAT)), deployment("web", python("web", SERVE)),
               service("web", 80, 8000), policy)  # fmt: skip
    with new_namespace(*objects) as cluster:
        known = components("web", "web:9999", through="runtime")
        async with hands_of(cluster.system(known)) as hands:
            await hands.do("workload.scale", of="worker", replicas=1)
            await hands.do("workload.scale", of="web", replicas=1, health=False)
            (one,) = await ask(hands.connections, "worker", ("inside.allowed", {"to": "web"}), within=60)
    assert "web-in selects web" in one.message, one
    assert "ingress from worker to port 8000" in one.message
    # This cluster may have a network that enforces nothing, which the sentence then says.
    assert (one.value is True) == ("does not enforce" in one.message)
