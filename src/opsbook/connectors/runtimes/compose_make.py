"""Makes, starts, stops and removes single containers, each awaited until it is as it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from opsbook.connectors.change import ChangeFailed, Sink
from opsbook.connectors.runtimes import compose_config, compose_create, compose_labels
from opsbook.connectors.runtimes.compose_api import ApiFault, NotThere
from opsbook.connectors.runtimes.compose_containers import Container
from opsbook.connectors.runtimes.compose_logs import last_words
from opsbook.errors import OpsbookError

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.compose_file import ComposeFile, Service

LOOK_SECONDS = 0.2
SETTLED = timedelta(seconds=1)
"""A container without a health check is ready when it has run this long: one that ends at once is not."""
MORE_SECONDS = 20.0
"""Over the grace of a stop: what the engine itself may take."""
PULL_SECONDS = 1800.0
CONFLICT = 409


class NotReady(OpsbookError):
    """A container did not come up, or did not go down, in its time. Others may have been changed before."""

    exit_code = 1


class Maker:
    """Works on the containers of one service."""

    def __init__(self, compose: Compose, workload: str, wait: float, out: Sink) -> None:
        self._compose, self._api = compose, compose.api
        self._workload, self._wait, self._out = workload, wait, out

    @property
    def grace(self) -> float:
        service = self._compose.file.services.get(self._workload)
        return service.grace if service else 10.0

    async def image_id(self, image: str) -> str:
        """The id of an image, pulled where it is not here. Raises ChangeFailed."""
        try:
            told = await self._api.call("inspect_image", image)
        except NotThere:
            await self._out.write(f"pulling {image}\n")
            try:
                await self._api.call("pull", image, deadline=PULL_SECONDS)
                told = await self._api.call("inspect_image", image)
            except ApiFault as error:
                raise ChangeFailed(f"{image} cannot be pulled: {error.message}", "is it pushed, and may it be read?"
                                   ) from error  # fmt: skip
        return bare(told["Id"])

    async def make(
        self,
        image: str,
        found: Sequence[Container],
        name: str = "",
        labels: Mapping[str, str | None] | None = None,
    ) -> Container:
        """A new container of an image, not started yet. `labels` are put over those that it would get."""
        file = self._compose.file
        service = file.service(self._workload)
        number = free_number(found)
        named = name or str(service.settings.get("container_name") or "") or name_of(file, service, number, found)
        digest = compose_config.digest_of(self._compose, service)
        over = {**await compose_labels.of_new(self._compose, service), **(labels or {})}
        over |= {compose_config.CONFIG: digest} if digest else {}
        wanted = compose_create.wanted(file, service, number, named, image, over)
        await self._surroundings(file, service)
        try:
            made = await self._api.call("create_container_from_config", dict(wanted.config), wanted.name)
        except ApiFault as error:
            raise ChangeFailed(
                f"{wanted.name} could not be made: {error.message}", "correct the compose file"
            ) from error
        for network in list(wanted.networks)[1:]:
            await self._api.call(
                "connect_container_to_network", made["Id"], network, aliases=list(wanted.networks[network])
            )
        return Container(await self._api.call("inspect_container", made["Id"]))

    async def _surroundings(self, file: ComposeFile, service: Service) -> None:
        """Networks and volumes that are not there yet, with the labels by which compose knows them."""
        own = {compose_create.PROJECT: file.project}
        for key in compose_create.network_keys(service):
            name, said = file.network(key)
            try:
                await self._api.call("inspect_network", name)
            except NotThere as error:
                if said.get("external"):
                    raise ChangeFailed(f"there is no network {name}", f"docker network create {name}") from error
                await self._api.call("create_network", name, driver=said.get("driver") or "bridge",
                                     internal=bool(said.get("internal")),
                                     labels={**own, "com.docker.compose.network": key})  # fmt: skip
        for key in compose_create.volume_keys(service):
            name, said = file.volume(key)
            try:
                await self._api.call("inspect_volume", name)
            except NotThere as error:
                if said.get("external"):
                    raise ChangeFailed(f"there is no volume {name}", f"docker volume create {name}") from error
                await self._api.call("create_volume", name, driver=said.get("driver"),
                                     driver_opts=said.get("driver_opts"),
                                     labels={**own, "com.docker.compose.volume": key})  # fmt: skip

    async def start(self, one: Container) -> Container:
        """Started and ready. Raises NotReady with its last words."""
        if not one.active:
            try:
                await self._api.call("start", one.id)
            except ApiFault as error:
                raise NotReady(f"{one.name} could not be started: {error.message}", "look at its `command` and ports"
                               ) from error  # fmt: skip
        return await self.ready(one)

    async def ready(self, one: Container) -> Container:
        """The container once it is ready. Raises NotReady."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._wait
        restarts = one.restarts
        while True:
            now = Container(await self._api.call("inspect_container", one.id))
            if now.active and now.checked and not now.ready:
                now = await self._compose.check(now)
            failed = not now.active or now.restarts > restarts
            settled = now.health or (now.started and datetime.now(UTC) - now.started >= SETTLED)
            if now.ready and settled and not failed:
                await self._out.write(f"{now.name} is ready, {now.image}\n")
                return now
            if failed or clock() > deadline:
                words = await last_words(self._api, now)
                why = now.reason(words) or f"it does not stay up; its last words: {words}"
                raise NotReady(f"{now.name} did not come up: {why}", "look at the logs of its workload")
            await asyncio.sleep(LOOK_SECONDS)

    async def restart(self, one: Container) -> Container:
        """Started anew and ready."""
        grace = self.grace
        before = one.started
        await self._api.call("restart", one.id, timeout=int(grace), deadline=grace + MORE_SECONDS)
        now = Container(await self._api.call("inspect_container", one.id))
        if now.started == before:
            raise NotReady(f"{one.name} was not started anew", "look at the engine's own log")
        return await self.ready(now)

    async def stop(self, one: Container) -> None:
        """Ended, by SIGTERM and after its grace by SIGKILL."""
        if one.active:
            await self._api.call("stop", one.id, timeout=int(self.grace), deadline=self.grace + MORE_SECONDS)
            await self._out.write(f"{one.name} is stopped\n")

    async def remove(self, one: Container) -> None:
        """Stopped and gone. Its named volumes stay."""
        try:
            await self.stop(one)
            await self._api.call("remove_container", one.id)
        except NotThere:
            return
        await self._out.write(f"{one.name} is removed\n")


def bare(image_id: str) -> str:
    """An image id without its algorithm."""
    return image_id.rpartition(":")[2]


def free_number(found: Sequence[Container]) -> int:
    """The lowest number that no container has."""
    taken = {one.number for one in found}
    return next(number for number in range(1, len(taken) + 2) if number not in taken)


def name_of(file: ComposeFile, service: Service, number: int, found: Sequence[Container]) -> str:
    """As compose names it; with underscores where the first version of compose made its neighbours."""
    joint = "_" if any(one.name.startswith(f"{file.project}_{service.name}_") for one in found) else "-"
    return joint.join((file.project, service.name, str(number)))
