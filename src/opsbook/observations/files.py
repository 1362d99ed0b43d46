"""Folders of artifacts, exports and logs: how large, how many, how fresh."""

from __future__ import annotations

import time

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.files import FilesConnector, Found
from opsbook.observations.registry import Absent, observation

TOP = 10


class PatternParameters(Parameters):
    """Which files."""

    pattern: str = Field("*", description="file name or path within the folder, with * and ?, e.g. *.log")


def _largest(found: list[Found]) -> list[dict[str, object]]:
    ordered = sorted(found, key=lambda one: one.size, reverse=True)
    return [{"path": one.path, "size": one.size} for one in ordered[:TOP]]


@observation("files.size", Dimension.SIZE, of="files", parameters=PatternParameters, cost=Cost.MODERATE,
             doc="Bytes of the files together.")  # fmt: skip
async def size(files: FilesConnector, said: PatternParameters) -> Fact:
    found = await files.files(said.pattern)
    return Fact(float(sum(one.size for one in found)), {"files": len(found), "largest": _largest(found)})


@observation("files.quota_used", Dimension.RATIO, of="files", cost=Cost.MODERATE, warning="> 80%", critical="> 95%",
             doc="Share of the component's `quota` that its files take.")  # fmt: skip
async def quota_used(files: FilesConnector) -> Fact:
    quota = files.component.quota
    if not quota:
        raise ReadFailed(f"{files.name} has no quota", f"set `quota` of {files.name}, e.g. 20GB")
    found = await files.files()
    used = float(sum(one.size for one in found))
    return Fact(used / quota, {"used": used, "quota": quota, "largest": _largest(found)})


@observation("files.count", Dimension.COUNT, of="files", parameters=PatternParameters, cost=Cost.MODERATE,
             doc="How many files there are.")  # fmt: skip
async def count(files: FilesConnector, said: PatternParameters) -> float:
    return float(len(await files.files(said.pattern)))


@observation("files.newest_age", Dimension.DURATION, of="files", parameters=PatternParameters, cost=Cost.MODERATE,
             doc="Time since the newest file was written: whether logs, exports or dumps still come.")  # fmt: skip
async def newest_age(files: FilesConnector, said: PatternParameters) -> Fact:
    found = await files.files(said.pattern)
    if not found:
        raise Absent(f"{files.path} holds no file {said.pattern}")
    newest = max(found, key=lambda one: one.modified)
    age = max(0.0, time.time() - newest.modified)
    return Fact(age, {"path": newest.path, "size": newest.size, "files": len(found)}, newest.path)
