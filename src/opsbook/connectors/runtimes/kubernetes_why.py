"""Why pods are not ready, where the pod itself does not tell: last words, events of probes, nodes that are away."""

from __future__ import annotations

from collections.abc import Sequence

from opsbook.connectors.runtimes.kubernetes_api import ApiFault, KubernetesApi
from opsbook.connectors.runtimes.kubernetes_logs import NO_LINES
from opsbook.connectors.runtimes.kubernetes_look import Namespace
from opsbook.connectors.runtimes.kubernetes_pods import LONGEST_WORDS, Pod
from opsbook.errors import OpsbookError

MOST = 5
"""Pods that are asked for more in one look: of a hundred that crash, the first few tell enough."""
TOLD_BY_EVENTS = ("Unhealthy", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")


class Why:
    """Asks for what is missing in the sentence of a pod. Fails silently: the sentence is then shorter."""

    def __init__(self, api: KubernetesApi, namespace: Namespace) -> None:
        self._api, self._namespace = api, namespace

    async def of(self, pods: Sequence[Pod]) -> dict[str, str]:
        """Pod → what is known beyond its own state."""
        found: dict[str, str] = {}
        for pod in [pod for pod in pods if pod.crashing][:MOST]:
            if words := await self._last_words(pod):
                found[pod.name] = f"its last words: {words}"
        unsaid = [pod for pod in pods if pod.probing or pod.waiting][:MOST]
        if unsaid:
            away = await self._nodes_away()
            for pod in unsaid:
                if pod.node in away:
                    found[pod.name] = f"its node {pod.node} is not ready: {away[pod.node]}"
                elif words := await self._event(pod):
                    found[pod.name] = words
        return found

    async def _last_words(self, pod: Pod) -> str:
        path = self._namespace.core("pods", pod.name, "log")
        for previous in ("true", "false"):
            try:
                asked: dict[str, str | int | list[str]] = {
                    "container": pod.crashing,
                    "tailLines": 1,
                    "previous": previous,
                }
                async with self._api.lines(path, asked) as lines:
                    async for line in lines:
                        if line.strip() and not line.startswith(NO_LINES):
                            return line.strip()[:LONGEST_WORDS]
            except OpsbookError:
                continue
        return ""

    async def _event(self, pod: Pod) -> str:
        """The newest event that tells why."""
        try:
            selector = f"involvedObject.name={pod.name}"
            events = [one async for one in self._api.pages(self._namespace.core("events"), {"fieldSelector": selector})
                      if one.get("reason") in TOLD_BY_EVENTS]  # fmt: skip
        except ApiFault:
            return ""
        events.sort(key=lambda one: one.get("lastTimestamp") or "")
        return " ".join(events[-1].get("message", "").split())[:LONGEST_WORDS] if events else ""

    async def _nodes_away(self) -> dict[str, str]:
        try:
            return {
                one["metadata"]["name"]: condition.get("message", "")
                async for one in self._api.pages("/api/v1/nodes")
                for condition in one["status"].get("conditions", [])
                if condition["type"] == "Ready" and condition["status"] != "True"
            }
        except OpsbookError:
            return {}
