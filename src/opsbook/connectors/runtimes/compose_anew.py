"""Running containers made anew one by one, where what they are made of is another by now: their labels, a file.

The new one says by a label whose place it takes, so that one that was cut off is gone on with, and never made twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opsbook.connectors.change import Sink
from opsbook.connectors.runtimes.compose_containers import Container
from opsbook.connectors.runtimes.compose_create import alone, refuse_strange
from opsbook.connectors.runtimes.compose_labels import INSTEAD, SPARE
from opsbook.connectors.runtimes.compose_make import Maker
from opsbook.errors import OpsbookError

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose


@dataclass(frozen=True)
class Anew:
    """The running containers of one service, made anew until all of them are right."""

    compose: Compose
    workload: str
    wait: float
    """Seconds that a new one may take to be ready."""
    out: Sink
    right: Callable[[Container], bool]
    labels: Mapping[str, str | None] = field(default_factory=dict)
    """What is put over the labels of the file; None takes one away."""
    must_go: bool = False
    """An old one ends also where the new one does not come up; it stays there, stopped, for the way back."""

    async def all(self) -> None:
        """Each is ready before the next. Raises NotReady, and the old one serves on; what was done before stays."""
        service = self.compose.service(self.workload)
        refuse_strange(service)
        while True:
            found = await self.compose.containers(self.workload)
            if not await self._went_on(found):
                wrong = next((one for one in found if one.active and not self.right(one)), None)
                if wrong is None:
                    return
                await (self._in_place(found, wrong) if alone(service) else self._beside(found, wrong))

    @property
    def _maker(self) -> Maker:
        return Maker(self.compose, self.workload, self.wait, self.out)

    async def _went_on(self, found: Sequence[Container]) -> bool:
        """Whether something was left by what was cut off, and is done now."""
        by_name, by_id = {one.name: one for one in found}, {one.id: one for one in found}
        for old in found:
            if old.name.endswith(SPARE):
                new = by_name.get(old.name.removesuffix(SPARE))
                await self._settled(old, new, found)
                return True
        for new in found:
            beside = by_id.get(new.labels.get(INSTEAD, ""))
            if beside is not None and (new.active or beside.active):
                await self._settled(beside, new, found)
                return True
        return False

    async def _settled(self, old: Container, new: Container | None, found: Sequence[Container]) -> None:
        """One of both stays: the one that is right."""
        maker, name = self._maker, old.name.removesuffix(SPARE)
        if new is not None and new.active and self.right(new):
            await maker.ready(new)
            await maker.remove(old)
            return
        if new is not None:
            await maker.remove(new)
        if old.name != name and self.right(old):
            await self.compose.api.call("rename", old.id, name)
            await maker.start(Container(await self.compose.api.call("inspect_container", old.id)))
        elif old.name != name:
            await self._in_place([one for one in found if one is not new], old)

    async def _beside(self, found: Sequence[Container], old: Container) -> None:
        """The new one is ready before the old one goes."""
        maker = self._maker
        new = await maker.make(old.image, found, labels={**self.labels, INSTEAD: old.id})
        try:
            await maker.start(new)
        except OpsbookError as error:
            await maker.remove(new)
            await self._failed(old, error)
            return
        await asyncio.sleep(self.compose.service(self.workload).delay)
        await maker.remove(old)

    async def _in_place(self, found: Sequence[Container], old: Container) -> None:
        try:
            await replace(self.compose, self._maker, old.image, found, old, labels=self.labels, again=not self.must_go)
        except OpsbookError as error:
            await self._failed(old, error)

    async def _failed(self, old: Container, error: OpsbookError) -> None:
        if not self.must_go:
            raise error
        await self._maker.stop(Container(await self.compose.api.call("inspect_container", old.id)))
        await self.out.write(f"{old.name} is stopped, and could not be made anew: {error.message}\n")


async def replace(
    compose: Compose,
    maker: Maker,
    image: str,
    found: Sequence[Container],
    old: Container,
    *,
    labels: Mapping[str, str | None] | None = None,
    again: bool = True,
) -> None:
    """Where there can be one only: the old one stops first, and is started `again` where the new one fails."""
    name, others = old.name.removesuffix(SPARE), [one for one in found if one is not old]
    if old.name == name:
        await compose.api.call("rename", old.id, name + SPARE)
    made: Container | None = None
    try:
        await maker.stop(old)
        made = await maker.make(image, others, name, labels=labels)
        await maker.start(made)
    except OpsbookError:
        if made is not None:
            await maker.remove(made)
        await compose.api.call("rename", old.id, name)
        if again:
            await compose.api.call("start", old.id)
        raise
    await maker.remove(old)
