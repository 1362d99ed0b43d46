"""Waits until a workload is as it was asked to be, as long as it makes progress; says what each pod lacks where not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Sink
from opsbook.connectors.runtimes.kubernetes_api import Object
from opsbook.connectors.runtimes.kubernetes_kinds import progress_of, template_of
from opsbook.connectors.runtimes.kubernetes_look import owner_labels
from opsbook.connectors.runtimes.kubernetes_pods import Pod, read_pod
from opsbook.connectors.runtimes.kubernetes_stuck import replace_stuck
from opsbook.connectors.runtimes.kubernetes_targets import Target
from opsbook.connectors.runtimes.kubernetes_why import Why
from opsbook.errors import OpsbookError, Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

LOOK_SECONDS = 0.4
GRACE_SECONDS, GRACE_MORE = 30.0, 5.0
"""What a pod gets to end where its template says nothing, and what a node may take beyond it."""
STUCK_SECONDS = 3.0
"""A controller may still tell of the rollout before this one for a moment."""


class NotReady(OpsbookError):
    """A workload did not become what it was asked to be. Some of its pods may be."""

    exit_code = 1


class Rollout:
    """One workload that is being changed; with `replaces_stuck` pods that hold up a way back are deleted."""

    def __init__(
        self, runtime: Kubernetes, target: Target, workload: str, wait: float, out: Sink, *,
        replaces_stuck: bool = False,
    ) -> None:  # fmt: skip
        self._runtime, self._target, self._workload, self._wait, self._out = runtime, target, workload, wait, out
        self._replaces, self._held = replaces_stuck, ""
        self._clock = asyncio.get_running_loop().time
        self._moved = self._clock()
        self._stuck_since: float | None = None
        self._seen: Any = None
        self._away = ""

    async def ready(self) -> Object:
        """Until all pods are of the wanted template and ready. Raises NotReady with what each pod lacks."""
        while True:
            now = await self._look()
            if now is not None:
                progress = progress_of(self._target.kind, now)
                await self._note(progress.figures, progress.words)
                if progress.over:
                    return now
                await self._replace_stuck(now)
                if self._gave_up(progress.stuck):
                    raise await self._failed(progress.words, progress.stuck)
            if self._late():
                raise await self._failed(self._seen[1] if self._seen else self._away, "")
            await asyncio.sleep(LOOK_SECONDS)

    async def gone(self) -> Object:
        """Until it has no pods at all, those that end included: each may take the time that its template gives it."""
        while True:
            now = await self._look()
            if now is not None:
                self._wait = max(self._wait, _grace_of(now) + GRACE_MORE)
                pods = await pods_of(self._runtime, now, self._target)
                await self._note((len(pods),), f"{len(pods)} pods left")
                if not pods:
                    return now
            if self._late():
                left = self._seen[1] if self._seen else self._away
                raise NotReady(f"{self._workload} is not gone after {self._wait:g} s: {left}",
                               "look what its pods wait for, then end them")  # fmt: skip
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> Object | None:
        """The object; None while the API server is away, which no rollout depends on."""
        try:
            return await self._target.read_now(self._runtime)
        except Unreachable as error:
            self._away = error.message
            return None

    async def _replace_stuck(self, now: Object) -> None:
        if not self._replaces or self._held:
            return
        with suppress(Unreachable):
            self._held = await replace_stuck(self._runtime, now, self._out)
        if self._held:
            await self._out.write(f"{self._held}\n")

    async def _note(self, figures: tuple[int, ...], words: str) -> None:
        if self._seen is None or self._seen[0] != figures:
            self._moved, self._seen = self._clock(), (figures, words)
            await self._out.write(f"{self._workload}: {words}\n")

    def _late(self) -> bool:
        return self._clock() - self._moved > self._wait

    def _gave_up(self, stuck: str) -> bool:
        if not stuck:
            self._stuck_since = None
            return False
        self._stuck_since = self._stuck_since or self._clock()
        return self._clock() - self._stuck_since > STUCK_SECONDS

    async def _failed(self, words: str, stuck: str) -> NotReady:
        """What to say of it: the figures, what the controller says, and what each pod lacks."""
        told = [words, *filter(None, (stuck, self._held))]
        try:
            now = await self._target.read_now(self._runtime)
            pods = [pod for pod in await pods_of(self._runtime, now, self._target) if not pod.ready and not pod.ending]
            more = await Why(self._runtime.api, self._runtime.namespace).of(pods)
            told += [f"{pod.name}: {pod.instance(more.get(pod.name, '')).reason}" for pod in pods[:3]]
        except OpsbookError as error:
            told.append(error.message)
        return NotReady(f"{self._workload} is not ready after {self._wait:g} s without progress: {'; '.join(told)}",
                        f"opsbook logs {self._workload}; roll it back if it does not mend")  # fmt: skip


def _grace_of(now: Object) -> float:
    """Seconds after which the kubelet ends a pod that was asked to end. Source: PodSpec, whose default is 30."""
    return float(template_of(now).get("spec", {}).get("terminationGracePeriodSeconds", GRACE_SECONDS))


async def pods_of(runtime: Kubernetes, one: Object, target: Target) -> list[Pod]:
    """The pods of a workload, found by its selector."""
    query: Mapping[str, str | int | list[str]] = {"labelSelector": owner_labels(one)}
    return [pod async for raw in runtime.api.pages(runtime.namespace.core("pods"), query)
            if (pod := read_pod(raw)).owner == (target.kind, target.name)]  # fmt: skip


async def until_bounded(runtime: Kubernetes, effect: Mapping[str, Any], out: Sink) -> None:
    """Until a workload runs within the new bounds of its autoscaler, and is ready."""
    kind, now = await runtime.found(effect["workload"])
    target = Target.workload(kind, now["metadata"]["name"])
    clock = asyncio.get_running_loop().time
    deadline = clock() + effect["wait"]
    while not effect["least"] <= int(now["spec"].get("replicas", 1)) <= effect["most"]:
        if clock() > deadline:
            raise NotReady(
                f"the autoscaler has not brought {effect['workload']} to {effect['least']} pods after"
                f" {effect['wait']:g} s",
                "does it get its metrics?",
            )
        await asyncio.sleep(LOOK_SECONDS)
        now = await target.read_now(runtime)
    await Rollout(runtime, target, effect["workload"], effect["wait"], out).ready()
