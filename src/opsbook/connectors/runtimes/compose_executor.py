"""Applies changes of the kind `compose`: containers made, started, stopped and removed one by one; commands run.

START, STOP, SCALE, DEPLOY and ROLLBACK are states: applying one again does nothing more. A rolling change yields after
each container. RESTART keeps those that are done in its cursor; a container whose variables the file or its `env_file`
says otherwise by now is made anew. EXEC is not idempotent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.change import Change, Done, Json, More, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.secrets import resolve
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes import compose_create, compose_exec, compose_labels, compose_networks
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.compose_anew import replace
from opsbook.connectors.runtimes.compose_changes import KIND
from opsbook.connectors.runtimes.compose_containers import Container
from opsbook.connectors.runtimes.compose_labels import SPARE
from opsbook.connectors.runtimes.compose_make import Maker, NotReady, bare
from opsbook.connectors.runtimes.contract import Verb
from opsbook.errors import Refused


@executor(KIND)
def make(connections: Connections) -> ComposeExecutor:
    """The executor for the runtime of these connections."""
    found = connections.runtime
    assert isinstance(found, Compose), "a change of compose in an environment without it"
    return ComposeExecutor(found, connections.system)


class ComposeExecutor:
    """Applies exactly what a change says."""

    def __init__(self, compose: Compose, system: System) -> None:
        self._compose, self._system = compose, system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises Refused where the guard no longer holds, NotReady where a container does not do what it is told."""
        effect = change.effect
        found = await self._guarded(change)
        verb = effect["verb"]
        if verb in compose_networks.VERBS:
            return await compose_networks.apply(self._compose, effect, found, out)
        if verb == Verb.EXEC.value:
            variables = {**effect.get("env", {}), **await resolve(self._system, effect.get("secrets", {}))}
            return await compose_exec.run(self._compose, key, effect, variables, out)
        maker = Maker(self._compose, effect["workload"], effect["wait"], out)
        if verb == Verb.STOP.value:
            for one in found:
                await maker.stop(one)
            return Done({"workload": effect["workload"], "stop": [one.name for one in found if one.active]})
        if verb == Verb.RESTART.value:
            return await self._restart(maker, change, found, cursor)
        if verb in (Verb.DEPLOY.value, Verb.ROLLBACK.value):
            return await self._roll(maker, effect, found)
        return await self._number(maker, effect, found)

    async def end(self, key: str, change: Change) -> bool:
        """Ends a command that carries the key in its container. Everything else is a request, over when it is cut."""
        if change.effect["verb"] != Verb.EXEC.value:
            return True
        return await compose_exec.end(self._compose, key, change.effect)

    async def _guarded(self, change: Change) -> list[Container]:
        effect, guard = change.effect, change.guard or {}
        workload = effect["workload"]
        found = await self._compose.containers(workload)
        # What this change itself wants is right too: it was cut off, or is applied again.
        strange = {one.image for one in found} - {*guard.get("images", ()), effect.get("image", "")}
        if guard.get("images") and strange:
            raise Refused(
                f"{workload} runs {', '.join(sorted(strange))} now, and did not when this was planned", "plan anew"
            )
        if "definition" in guard and self._compose.service(workload).digest != guard["definition"]:
            raise Refused(f"the service {workload} was changed in the compose file since this was planned", "plan anew")
        # One that was made anew is there too, by its name or on its way to it: this was cut off, or is applied again.
        there = {one.name for one in found} | {one.name.removesuffix(SPARE) for one in found}
        if gone := [name for name in guard.get("ids", {}) if name not in there]:
            raise Refused(f"the container {gone[0]} of the plan is not there any more", "plan anew")
        return found

    async def _restart(self, maker: Maker, change: Change, found: Sequence[Container], cursor: Json) -> Done | More:
        effect, planned = change.effect, (change.guard or {}).get("ids", {})
        done = list((cursor or {}).get("done", []))
        left = [name for name in effect["containers"] if name not in done]
        if left:
            await self._anew(maker, left[0], planned.get(left[0], ""), list(found))
            done.append(left[0])
        if len(left) > 1:
            return More({"done": done}, {"done": len(done), "of": len(effect["containers"])})
        return Done({"workload": effect["workload"], "restarted": done})

    async def _anew(self, maker: Maker, name: str, planned: str, found: list[Container]) -> None:
        """One is restarted, or made anew; gone on with where an attempt at that was cut off."""
        by = {one.name: one for one in found}
        old, now = by.get(name + SPARE), by.get(name)
        if old is not None:
            if now is not None:  # of which nobody knows how far it came
                await maker.remove(now)
                found.remove(now)
            await replace(self._compose, maker, old.image, found, old)
            return
        assert now is not None, "the guard has seen one of both"
        if self._told_otherwise(now):
            await replace(self._compose, maker, now.image, found, now)
        elif planned and now.id != planned:
            await maker.start(now)  # made since it was planned, so that it was begun anew
        else:
            await maker.restart(now)

    def _told_otherwise(self, one: Container) -> bool:
        """Whether the file gives its variables other values by now, which only a new container would have."""
        service = self._compose.file.services.get(one.service)
        if service is None or compose_create.not_understood(service):
            return False
        given = compose_create.pairs(one.told["Config"].get("Env"))
        wanted = compose_create.environment(self._compose.file, service)
        return any(given.get(name) != value for name, value in wanted.items())

    async def _number(self, maker: Maker, effect: dict[str, Any], found: list[Container]) -> Done:
        """START brings at least so many, SCALE exactly. Stopped containers are used first, of the right image."""
        active = [one for one in found if one.active]
        wanted = effect["replicas"]
        idle = [one for one in found if not one.active and one.image == effect["image"]]
        if idle and (labels := await self._labels(effect["workload"])):
            # One that has other labels would serve, or not, as soon as it is started.
            fit = compose_labels.fitting(idle, labels)
            for one in [one for one in idle if one not in fit] if len(active) < wanted else []:
                await maker.remove(one)
                found.remove(one)
            idle = fit
        for one in active[:wanted]:
            await maker.ready(one)
        active += [await maker.start(one) for one in idle[: max(0, wanted - len(active))]]
        while len(active) < wanted:
            await maker.image_id(effect["image"])
            made = await maker.make(effect["image"], found)
            found.append(made)
            active.append(await maker.start(made))
        if effect["verb"] == Verb.SCALE.value:
            for one in sorted(active, key=lambda one: one.number)[wanted:]:
                await maker.remove(one)
        return Done({"workload": effect["workload"], "replicas": max(wanted, 0)})

    async def _labels(self, workload: str) -> dict[str, str | None]:
        """What a new container of it would have besides those of the file."""
        service = self._compose.file.services.get(workload)
        return await compose_labels.of_new(self._compose, service) if service else {}

    async def _roll(self, maker: Maker, effect: dict[str, Any], found: list[Container]) -> Done | More:
        """One container of the new image more, ready before an old one goes; the same until no old one is left."""
        service = self._compose.service(effect["workload"])
        record, wanted = self._compose.record, await maker.image_id(effect["image"])
        active = [one for one in found if one.active]
        fresh = [one for one in active if _is(one, effect["image"], wanted)]
        stale = [one for one in active if one not in fresh]
        record.begin(service.name, service.image, stale[-1].image if stale else "")
        if stale and compose_create.alone(service):
            await replace(self._compose, maker, effect["image"], found, stale[0])
        elif stale:
            await self._exchange(maker, effect, found, fresh, stale)
        elif len(fresh) < effect["replicas"]:
            # It was cut off where the old one had stopped already.
            await maker.start(await maker.make(effect["image"], [one for one in found if SPARE not in one.name]))
        if stale or len(fresh) < effect["replicas"]:
            # The last look is taken anew: nothing else says that all are of the new image.
            return More(None, {"done": len(fresh) + 1, "of": max(effect["replicas"], len(fresh) + len(stale))})
        for one in fresh:
            await maker.ready(one)
        for one in found:
            if not one.active and not _is(one, effect["image"], wanted):
                await maker.remove(one)
        record.note(service.name, service.image, effect["image"])
        return Done({"workload": service.name, "version": effect["version"], "ready": len(fresh)})

    async def _exchange(
        self,
        maker: Maker,
        effect: dict[str, Any],
        found: list[Container],
        fresh: list[Container],
        stale: list[Container],
    ) -> None:
        if len(fresh) + len(stale) <= effect["replicas"]:
            made = await maker.make(effect["image"], found)
            try:
                await maker.start(made)
            except NotReady:
                # The old ones serve on; what failed has said why.
                await maker.remove(made)
                raise
        else:
            for one in fresh:
                await maker.ready(one)
        await asyncio.sleep(self._compose.service(effect["workload"]).delay)
        await maker.remove(stale[0])


def _is(one: Container, image: str, image_id: str) -> bool:
    """Whether a container is of an image: its name, and what that name means now."""
    return one.image == image and bare(str(one.told.get("Image") or "")) == image_id
