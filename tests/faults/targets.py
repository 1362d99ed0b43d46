"""A target that can be killed in the middle of, and that counts how often each change really happened to it.

The executor of the kind `test` writes a line to the target's file for every effect that happens. A fault point, named
by the environment variable OPSBOOK_TEST_FAULT (`KEY:PLACE`), kills the whole process there, once: the fault is in this
executor, never in the product.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from opsbook.book.catalogue import Component, Risk
from opsbook.book.units import Dimension
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.contract import Connections, Connector, CredentialRefused, Fact, LoginRefused
from opsbook.connectors.registry import connector, executor
from opsbook.errors import Refused
from opsbook.observations.registry import observation
from opsbook.operations.contract import Facts, OperationParameters, Verdict
from opsbook.operations.registry import operation


class TargetComponent(Component):
    """A folder that changes are counted in."""

    kind: Literal["target"]
    folder: str = Field(description="where it counts")


@connector(TargetComponent)
class TargetConnector(Connector):
    component: TargetComponent


def effects(folder: Path, name: str = "effects") -> list[str]:
    """What happened to the target, a line each: key and text."""
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def happened(folder: Path, line: str, name: str = "effects") -> None:
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.fsync(descriptor)
    os.close(descriptor)


def die(key: str, place: str) -> None:
    """Kill this process here, where the test asked for it and it was not done yet."""
    wanted = os.environ.get("OPSBOOK_TEST_FAULT", "")
    if wanted and key.endswith(wanted.rpartition(":")[0]) and wanted.endswith(f":{place}"):
        mark = Path(os.environ["OPSBOOK_TEST_FAULT_MARK"])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@observation("target.open", Dimension.STATE, of="target", doc="Whether the target takes the login.", vital=True)
async def _open(connector: TargetConnector) -> Fact:
    if (Path(connector.component.folder) / "no-login").exists():
        raise LoginRefused("the target: the login is not taken", "log in anew")
    return Fact(True)


@executor("test")
class TestExecutor:
    """Does what the effect says: `text` is appended to the target; `do` is a further behaviour."""

    __test__ = False

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        effect = change.effect
        folder = Path(effect["folder"])
        happened(folder, f"{key} {os.getpid()}", "attempts")
        die(key, "before")
        if change.guard is not None and change.guard["count"] != len(effects(folder)):
            raise Refused("the state is not what it was", "plan again")
        for _ in range(effect.get("prints", 0)):
            await out.write("x" * 65536)
        if effect.get("says"):
            await out.write(effect["says"])
        match effect.get("do"):
            case "fail":
                raise ChangeFailed("the target said no")
            case "fail-twice" if len([one for one in effects(folder, "attempts") if one.startswith(key)]) <= 2:
                raise ChangeFailed("the target said no")
            case "lose":
                happened(folder, f"{key} {effect['text']}")
                raise ConnectionResetError("connection reset")
            case "locked-out" if not (folder / "credential").exists():
                raise CredentialRefused("the credential is not taken (any more)", "log in anew")
            case "lock-out":
                (folder / "no-login").touch()
            case "hang":
                await asyncio.sleep(600)
            case "child":
                return await self._child(key, folder, effect)
            case "batches":
                return await self._batch(key, folder, effect, cursor)
        if seconds := effect.get("seconds"):
            await asyncio.sleep(seconds / 2)
        if effect.get("text") is not None:
            happened(folder, f"{key} {effect['text']}")
        die(key, "middle")
        if seconds:
            await asyncio.sleep(seconds / 2)
        die(key, "after")
        return Done(effect.get("result"))

    async def _batch(self, key: str, folder: Path, effect: Json, cursor: Json) -> Done | More:
        number = (cursor or 0) + 1
        await asyncio.sleep(effect.get("seconds", 0))
        happened(folder, f"{key} batch {number}")
        die(key, "middle")
        return Done({"batches": number}) if number >= effect["batches"] else More(number, f"{number} done")

    async def _child(self, key: str, folder: Path, effect: Json) -> Done:
        """A child that ignores SIGTERM and forks another one that does too."""
        code = (
            "import os,signal,sys,time\nsignal.signal(signal.SIGTERM,signal.SIG_IGN)\nos.fork()\n"
            "open(sys.argv[1],'a').write(f'{os.getpid()}\\n')\ntime.sleep(600)"
        )
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(folder / "children"), start_new_session=True, env={"OPSBOOK_KEY": key}
        )
        await child.wait()
        return Done()

    async def end(self, key: str, change: Change) -> bool:
        """Kill every process that carries the key in its environment."""
        if change.effect.get("do") != "child":
            return not change.effect.get("endless", False)
        marker = f"OPSBOOK_KEY={key}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):  # noqa: ASYNC240
            try:
                if marker in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)
            except OSError:
                continue
        return True


class Effect(OperationParameters):
    """What the test operations do."""

    text: str = Field("", description="the line")
    do: str = Field("", description="a further behaviour of the executor")
    seconds: float = Field(0.0, description="how long it takes")
    changes: int = Field(1, description="how many changes")
    batches: int = Field(3, description="of a change in batches")
    prints: int = Field(0, description="64 kB pieces of output")
    says: str = Field("", description="output")
    result: Any = Field(None, description="what it returns")
    undo: str = Field("", description="the line of its undo")
    guarded: bool = Field(False, description="only if nothing happened since it was planned")
    endless: bool = Field(False, description="what it starts cannot be ended")
    verify: str = Field("", description="what `verify` says; by the target's file where left out")


class _Operation:
    async def plan(self, parameters: Effect, facts: Facts) -> AsyncIterator[Change]:
        component = facts.connector(parameters.of).component
        assert isinstance(component, TargetComponent)
        folder = component.folder
        count = len(effects(Path(folder)))
        refusal = Path(folder) / "refuse"
        if refusal.exists():
            raise Refused(refusal.read_text(), "do something else")
        if (Path(folder) / "no-login").exists():
            raise LoginRefused("the target: the login is not taken", "log in anew")
        extra = Path(folder) / "extra"
        for number in range(parameters.changes):
            effect = {**parameters.model_dump(exclude={"of", "changes", "undo", "guarded"}), "folder": folder}
            effect["number"] = number
            if extra.exists():
                effect["extra"] = extra.read_text()
            inverse: Change | str = "there is no way back"
            if parameters.undo:
                back = {"folder": folder, "text": parameters.undo}
                inverse = Change("test", back, inverse="it is an undo itself")
            guard = {"count": count} if parameters.guarded else None
            yield Change("test", effect, evidence={"count": count}, guard=guard, inverse=inverse)

    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        said = change.effect.get("verify")
        if said in ("done", "not_done", "unknown"):
            return said  # type: ignore[no-any-return]
        lines = effects(Path(change.effect["folder"]))
        return "done" if any(line.startswith(f"{key} ") for line in lines) else "not_done"


@operation("test.verified", Risk.SAFE, of="target", doc="Can be verified.", idempotent=False, parameters=Effect)
class _Verified(_Operation):
    pass


@operation("test.repeatable", Risk.SAFE, of="target", doc="Is idempotent.", idempotent=True, parameters=Effect)
class _Repeatable(_Operation):
    pass


@operation("test.blind", Risk.SAFE, of="target", doc="Cannot be verified.", idempotent=False, parameters=Effect)
class _Blind(_Operation):
    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        return "unknown"


@operation("test.harmful", Risk.DISRUPTIVE, of="target", doc="Is disruptive.", idempotent=False, parameters=Effect)
class _Harmful(_Operation):
    pass
