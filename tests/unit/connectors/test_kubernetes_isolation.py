"""A workload is cut off only where its pods say so; and what was made to leave them out is all given back."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from tests.integration.hands import Out

from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.inside.look import Answer, Question
from opsbook.connectors.runtimes import kubernetes_isolation
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere
from opsbook.connectors.runtimes.kubernetes_isolation import MEMORY, isolate, isolated, reconnect, reconnected
from opsbook.connectors.runtimes.kubernetes_kinds import KINDS
from opsbook.errors import Refused, Unreachable

OURS = "opsbook-isolate-web"
LABELS = {"app": "web"}
APART = {"key": "app", "operator": "NotIn", "values": ["web"]}
WEB = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": LABELS},
       "template": {"metadata": {"labels": LABELS}, "spec": {}}}}  # fmt: skip


class Server:
    """One deployment, one service, and policies; each write moves the version of what it writes."""

    def __init__(self, *open_policies: str) -> None:
        self.policies: dict[str, Any] = {}
        self.namespace = self.api = self
        self.capabilities = ("exec",)
        self.workload = WEB
        self.others: list[Any] = []
        """Pods that are not of the workload."""
        for name in open_policies:
            self.opens(name)

    def opens(self, name: str) -> None:
        self._put({"metadata": {"name": name}, "spec": {"podSelector": {}, "ingress": [{}]}})

    def left_out(self) -> list[str]:
        return [name for name, one in self.policies.items()
                if APART in (one["spec"]["podSelector"].get("matchExpressions") or [])]  # fmt: skip

    def memory(self) -> Any:
        return json.loads(self.policies[OURS]["metadata"]["annotations"][MEMORY])

    def _put(self, one: Any) -> None:
        one = copy.deepcopy(one)
        one["metadata"] |= {"uid": one["metadata"]["name"], "resourceVersion": "1"}
        self.policies[one["metadata"]["name"]] = one

    async def found(self, workload: str) -> tuple[Any, Any]:
        return KINDS["Deployment"], self.workload

    async def pods(self, workload: str) -> list[Any]:
        return [1, 2]

    async def path(self, group: str, versions: Any, plural: str, name: str = "", below: str = "") -> str:
        return f"{plural}/{name}" if name else plural

    async def served(self, group: str, versions: Any, plural: str) -> str:
        return f"/apis/{group}/v1"

    def core(self, plural: str) -> str:
        return plural

    async def pages(self, path: str) -> AsyncIterator[Any]:
        service = {"spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 80}]}}
        there = {"networkpolicies": list(self.policies.values()), "services": [service], "pods": self.others}
        for one in there.get(path, []):
            yield copy.deepcopy(one)

    async def look_inside(self, *said: Any, **more: Any) -> list[Any]:
        return [SimpleNamespace(said="10.0.0.1 443", code=0)]

    async def get(self, path: str) -> Any:
        try:
            return copy.deepcopy(self.policies[path.partition("/")[2]])
        except KeyError:
            raise NotThere(404, "NotFound", path) from None

    async def post(self, path: str, body: Any, dry: bool = False) -> None:
        if body["metadata"]["name"] in self.policies:
            raise ApiFault(409, "AlreadyExists", "it is there")
        if not dry:
            self._put(body)

    async def patch(self, path: str, body: Any, how: str) -> None:
        one = self.policies[path.partition("/")[2]]
        assert body["metadata"].pop("resourceVersion") == one["metadata"]["resourceVersion"]
        one["metadata"].setdefault("annotations", {}).update(body["metadata"].get("annotations", {}))
        one["spec"]["podSelector"] |= body.get("spec", {}).get("podSelector", {})
        one["metadata"]["resourceVersion"] += "1"

    async def ask(self, method: str, path: str, body: Any) -> None:
        assert method == "DELETE"
        del self.policies[path.partition("/")[2]]


Says = Callable[[], bool | None]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Callable[[Server, Says], None]:
    """What the pods say of every place while the policy is there; without it they reach it."""
    monkeypatch.setattr(kubernetes_isolation, "PROOF_SECONDS", 0.005)
    monkeypatch.setattr(kubernetes_isolation, "PAUSE_SECONDS", 0.001)

    def behaves(server: Server, cut: Says) -> None:
        async def look(_: Any, workload: str, asked: Sequence[Question], *__: Any, every: bool) -> list[Answer]:
            ok = cut() if OURS in server.policies else True
            return [Answer(pod, one, ok, 0.0, "words of the pod") for pod in ("web-1", "web-2") for one in asked]

        monkeypatch.setattr(kubernetes_isolation, "look", look)

    return behaves


def raising(error: Exception) -> Says:
    def says() -> bool | None:
        raise error

    return says


async def plan(server: Server, prove: Any = "must") -> Change:
    return await isolated(server, "web", "", prove)  # type: ignore[arg-type]


async def cut(server: Server, change: Change) -> Any:
    return (await isolate(server, change, Out())).result  # type: ignore[arg-type]


async def test_only_a_place_that_every_pod_does_not_reach_any_more_is_proof(network: Any) -> None:
    server = Server("all-in")
    network(server, lambda: False)
    change = await plan(server)
    told = await cut(server, change)
    assert (told["enforced"], server.left_out()) == (True, ["all-in"])
    assert server.memory()["reached"] == ["10.0.0.1:443", "10.0.0.9:80"]
    again = await cut(server, change)
    assert again["enforced"] is True, "begun anew after a crash it is known what was reached before"


@pytest.mark.parametrize(
    "says", [raising(Unreachable("the API server is away")), raising(ReadFailed("no pod runs")), lambda: None]
)
async def test_a_look_that_fails_proves_nothing(network: Any, says: Says) -> None:
    server = Server("all-in")
    network(server, says)
    told = await cut(server, await plan(server, "tell"))
    assert told["enforced"] is None
    assert "cannot be told: nothing could look from its pods" in told["words"]
    # Before it acts, an API server that is away is asked again by who applies it.
    with pytest.raises((ChangeFailed, Unreachable), match=r"the policy was there already, and stays|server is away"):
        await cut(server, await plan(server))
    assert OURS in server.policies, "it may well be cut off: a look that failed opens nothing"

    fresh = Server("all-in")
    network(fresh, says)
    with pytest.raises(ChangeFailed, match=r"cannot be told.*was taken away again"):
        await cut(fresh, await plan(fresh))
    assert (list(fresh.policies), fresh.left_out()) == (["all-in"], [])


async def test_a_network_that_enforces_nothing_is_told_and_taken_back(network: Any) -> None:
    server = Server("all-in")
    network(server, lambda: True)
    assert (await cut(server, await plan(server, "tell")))["enforced"] is False
    with pytest.raises(ChangeFailed, match=r"web-1 still reaches 10\.0\.0\.1:443.*was taken away again"):
        await cut(server, await plan(server))
    assert (list(server.policies), server.left_out()) == (["all-in"], [])


async def test_a_policy_before_which_nobody_looked_is_no_proof(network: Any) -> None:
    server = Server("all-in")
    network(server, lambda: False)
    assert (await cut(server, await plan(server, "no")))["enforced"] is None
    kept = copy.deepcopy(server.policies)
    with pytest.raises(ChangeFailed, match="nobody looked before"):
        await cut(server, await plan(server))
    assert server.policies == kept, "nothing was touched"


async def test_a_pod_that_reached_nothing_before_is_told_as_such(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    network(server, lambda: False)

    async def places(*_: Any) -> list[Question]:
        return []

    monkeypatch.setattr(kubernetes_isolation, "_places", places)
    change = await plan(server)
    for _ in range(2):
        told = await cut(server, change)
        assert (told["enforced"], "reached nothing" in told["words"]) == (None, True)


async def test_all_that_were_made_to_leave_it_out_are_given_back(network: Any) -> None:
    """Another policy came after the first isolation."""
    for by_plan in (False, True):
        server = Server("a")
        network(server, lambda: False)
        first = await plan(server)
        await cut(server, first)
        server.opens("b")
        await cut(server, await plan(server))
        assert (server.left_out(), server.memory()["names"]) == (["a", "b"], ["a", "b"])
        back = await reconnected(server, "web", "") if by_plan else first.inverse  # type: ignore[arg-type]
        assert isinstance(back, Change)
        await reconnect(server, back, Out())  # type: ignore[arg-type]
        assert (list(server.policies), server.left_out()) == (["a", "b"], [])


@pytest.mark.parametrize("by_plan", [False, True])
async def test_two_isolations_by_different_labels_are_both_given_back(network: Any, by_plan: bool) -> None:
    """The label of the first one was given to others' pods before the second."""
    server = Server("a")
    network(server, lambda: False)
    both = {**LABELS, "part": "front"}
    server.workload = {**WEB, "spec": {"selector": {"matchLabels": both}, "template": {"metadata": {"labels": both}}}}
    first = await plan(server)
    await cut(server, first)
    server.others = [{"metadata": {"name": "twin", "labels": LABELS}}]
    server.opens("b")
    second = await plan(server)
    assert first.effect["apart"] != second.effect["apart"]
    await cut(server, second)
    await cut(server, second)
    back = await reconnected(server, "web", "") if by_plan else first.inverse  # type: ignore[arg-type]
    assert isinstance(back, Change)
    await reconnect(server, back, Out())  # type: ignore[arg-type]
    left = {name: one["spec"]["podSelector"].get("matchExpressions") for name, one in server.policies.items()}
    assert left == {"a": None, "b": None}, "all of them select its pods again"
    if by_plan:
        assert isinstance(back.inverse, Change)
        await cut(server, back.inverse)
        rules = {name: one["spec"]["podSelector"].get("matchExpressions") for name, one in server.policies.items()}
        assert len(rules["a"]) == 2 and len(rules["b"]) == 1, "its undo leaves them out as they were"


async def test_what_was_left_out_by_an_older_opsbook_is_given_back(network: Any) -> None:
    server = Server("a")
    network(server, lambda: False)
    await cut(server, await plan(server))
    memory = server.memory()
    del memory["rules"]
    server.policies[OURS]["metadata"]["annotations"][MEMORY] = json.dumps(memory)
    await reconnect(server, await reconnected(server, "web", ""), Out())  # type: ignore[arg-type]
    assert (list(server.policies), server.left_out()) == (["a"], [])


async def test_what_somebody_changed_since_is_refused_before_anything_is_opened(network: Any) -> None:
    server = Server("a")
    network(server, lambda: False)
    change = await plan(server)
    await cut(server, change)
    server.policies[OURS]["spec"]["policyTypes"] = ["Egress"]
    assert isinstance(change.inverse, Change)
    with pytest.raises(Refused, match="somebody changed it since"):
        await reconnect(server, change.inverse, Out())  # type: ignore[arg-type]
    assert server.left_out() == ["a"]


async def test_whoever_contains_a_breach_goes_on_where_a_policy_of_others_cannot_be_changed(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server("all-in")
    network(server, lambda: False)

    async def forbidden(path: str, body: Any, how: str) -> None:
        raise ApiFault(403, "Forbidden", "may not patch networkpolicies")

    change = await plan(server, "tell")
    monkeypatch.setattr(server, "patch", forbidden)
    told = await cut(server, change)
    assert told["enforced"] is False and "could not be cut off whole: " in told["words"]
    assert OURS in server.policies
