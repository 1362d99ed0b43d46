"""Files of workloads: one put into the containers of a workload, one or a folder brought out of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from opsbook.book.catalogue import Risk
from opsbook.book.references import SecretReference
from opsbook.book.values import Size
from opsbook.connectors.change import Change
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.executors import fetch, inside_file
from opsbook.connectors.files import FilesComponent
from opsbook.connectors.inside.files import (
    ABSENT,
    LARGEST,
    Inside,
    NoShell,
    checked,
    instances,
    runtime_that_copies,
    seen,
)
from opsbook.connectors.inside.unpacking import digest_of
from opsbook.connectors.workload import workload_name
from opsbook.errors import OpsbookError, Refused
from opsbook.operations.contract import MAY_HOLD_SECRETS, Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

LONGEST_TEXT = 1_000_000
"""Characters of a text that a procedure writes; a longer one is a file."""


class Copied(OperationParameters):
    path: str = Field(min_length=1, description="where it goes in the container, in full")
    file: str = Field("", description="the file of this host that is copied; from the book's folder")
    content: str | SecretReference = Field(
        "", description="or all of its text; may be a secret", json_schema_extra=MAY_HOLD_SECRETS
    )
    mode: str = Field(
        "", pattern="^(0?[0-7]{3})?$",
        description="permissions of a new file, those of `file` or 0644 where left out; one that is there keeps its",
    )  # fmt: skip
    instance: str = Field("", description="one instance; all that are ready where left out")

    @model_validator(mode="after")
    def _one_of_both(self) -> Copied:
        if self.file and self.content:
            raise ValueError("`file` and `content` exclude each other")
        if isinstance(self.content, str) and len(self.content) > LONGEST_TEXT:
            raise ValueError(f"a text of more than {LONGEST_TEXT:,} characters is a `file`")
        return self


@operation(
    "workload.copy", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Copied,
    doc="Puts a file of this host, or a text, into the containers of a workload: at once and whole, and the version"
    " before is kept beside it. Refused where the file has changed since it was planned, and above 50 MB. A container"
    " that is made later has not got it. Undo puts the version before back.",
)  # fmt: skip
class _Copy(Repeatable):
    async def plan(self, parameters: Copied, facts: Facts) -> AsyncIterator[Change]:
        runtime, path = facts.runtime, checked(parameters.path)
        runtime_that_copies(runtime)
        workload = await workload_name(facts.connector(parameters.of))
        told = await _what(parameters, facts)
        for instance in await instances(runtime, workload, parameters.instance):
            found = await seen(runtime, workload, instance, path)
            _must_be_writable(found, path, instance or workload)
            effect = {"workload": workload, "instance": instance, "path": found.path, **told}
            yield Change(inside_file.KIND, effect, _evidence(found, path), {"state": found.state}, _back(found, effect))


async def _what(parameters: Copied, facts: Facts) -> dict[str, Any]:
    """What goes in: where it is, its digest, size and mode. The digest of a secret would help to guess it."""
    mode = parameters.mode
    if isinstance(parameters.content, SecretReference):
        return {"secret": parameters.content.text, "mode": mode or "600"}
    if not parameters.file:
        data = parameters.content.encode()
        return {"content": parameters.content, **_measured(data), "mode": mode or "644"}
    local = facts.system.path(parameters.file)
    data = await asyncio.to_thread(inside_file.content_of, local)
    return {"from": str(local), **_measured(data), "mode": mode or f"{local.stat().st_mode & 0o777:o}"}


def _measured(data: bytes) -> dict[str, Any]:
    return {"digest": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _must_be_writable(found: Inside, path: str, where: str) -> None:
    """Raises Refused where no file can be put, or what is there could not be put back."""
    why = {
        "folder": (f"{path} is a folder in {where}", "name the file within it"),
        "other": (f"{path} is no regular file in {where}", "name another"),
        "nowhere": (f"{path} has no folder in {where}", "make it first"),
        "unreadable": (f"{path} may not be read in {where}, so that it could not be put back", "name another"),
    }.get(found.kind)
    if why is None and found.kind == "file" and found.size > LARGEST:
        why = (f"{path} has {found.size:,} bytes in {where}, more than the {LARGEST:,} that are kept", "name another")
    if why is not None:
        raise Refused(*why)


def _evidence(found: Inside, path: str) -> dict[str, Any]:
    there = {"size": found.size, "mode": found.mode, "sha256": found.digest} if found.kind == "file" else ABSENT
    return {"there": there, **({"leads_to": found.path} if found.path != path else {})}


def _back(found: Inside, effect: dict[str, Any]) -> Change | str:
    if effect.get("digest") == found.state:
        return "the file is as wanted already"
    back = {name: effect[name] for name in ("workload", "instance", "path")}
    way = {"previous": found.digest} if found.kind == "file" else {"absent": True}
    if "secret" in effect:
        return Change(inside_file.KIND, {**back, **way, "was": effect["secret"]}, inverse="it is an undo")
    return Change(inside_file.KIND, {**back, **way}, guard={"state": effect["digest"]}, inverse="it is an undo")


class Fetched(OperationParameters):
    path: str = Field(min_length=1, description="the file or folder in the container, in full")
    to: str = Field(
        min_length=1, description="what it becomes on this host, from the book's folder; below it or a files component"
    )
    instance: str = Field("", description="which instance; the first that is ready where left out")
    most: Size = Field(1_000_000_000, description="the most bytes that are fetched")
    overwrite: bool = Field(False, description="where something else is there: keep that beside it, and take its place")


@operation(
    "workload.fetch", Risk.SAFE, of="workload", idempotent=True, parameters=Fetched,
    riskier={"overwrite": Risk.DISRUPTIVE},
    doc="Brings a file or folder out of a container to this host, at once and whole: below the book's folder, or that"
    " of a files component. Refused where something else is there already, unless asked. Links that lead out of the"
    " folder are left out and named.",
)  # fmt: skip
class _Fetch(Repeatable):
    async def plan(self, parameters: Fetched, facts: Facts) -> AsyncIterator[Change]:
        runtime, path = facts.runtime, checked(parameters.path)
        runtime_that_copies(runtime)
        workload = await workload_name(facts.connector(parameters.of))
        first = (await instances(runtime, workload, parameters.instance))[0]
        evidence = await _readable(facts, workload, first, path)
        local = await asyncio.to_thread(digest_of, _within(facts, parameters.to))
        effect = {"workload": workload, "instance": parameters.instance, "path": path, "to": parameters.to,
                  "most": int(parameters.most), "overwrite": parameters.overwrite}  # fmt: skip
        evidence = {**evidence, "there_already": local != ABSENT}
        yield Change(fetch.KIND, effect, evidence, {"digest": local}, "nothing to undo: it only reads; delete the copy")


def _within(facts: Facts, to: str) -> Path:
    """Where it comes to. Raises Refused for a place that the book has no folder for."""
    system = facts.system
    target = system.path(to)
    places = [system.folder]
    for component in system.components.values():
        if isinstance(component, FilesComponent):
            with suppress(OpsbookError, ValueError):  # one whose variable is not set is no place for anything
                places.append(system.path(component.path))
    if not any(place.resolve() in target.resolve().parents for place in places):
        raise Refused(
            f"{target} is neither below the book's folder nor below that of a files component",
            "name a place below one of them",
        )
    return target


async def _readable(facts: Facts, workload: str, instance: str, path: str) -> dict[str, Any]:
    """What is to be fetched. Raises Refused where nothing is there."""
    try:
        found = await seen(facts.runtime, workload, instance, path)
    except NoShell:
        return {"instance": instance or workload}  # an engine that makes the archive itself needs none
    where = instance or workload
    if found.kind in ("absent", "nowhere"):
        raise Refused(f"there is no {path} in {where}", "look what is there")
    if found.kind in ("other", "unreadable"):
        raise ReadFailed(f"{path} of {where} is no file or folder that may be read", "name another")
    size = {"size": found.size} if found.kind == "file" else {}
    return {"instance": where, "kind": found.kind, **size}
