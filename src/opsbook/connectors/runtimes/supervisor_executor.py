"""Applies changes of the kind `supervisor`: processes started and stopped one by one, versions switched, commands run.

START, STOP, SCALE and the switch of a version are states: applying one again does nothing more. A rolling restart
yields after each process, with those that are done in its cursor; applied again from there, it restarts one process at
most twice. EXEC is not idempotent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.secrets import resolve
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes import supervisor_exec
from opsbook.connectors.runtimes.contract import Verb
from opsbook.connectors.runtimes.supervisor import Process, Supervisor, reason
from opsbook.connectors.runtimes.supervisor_changes import KIND
from opsbook.connectors.runtimes.supervisor_rpc import ALREADY_STARTED, NOT_RUNNING, SupervisorFault
from opsbook.connectors.tails import tail
from opsbook.errors import OpsbookError, Refused

LOOK_SECONDS = 0.1


class NotReady(OpsbookError):
    """A process did not come up, or did not go down, in its time. Others may have been changed before."""

    exit_code = 1


@executor(KIND)
def make(connections: Connections) -> SupervisorExecutor:
    """The executor for the runtime of these connections."""
    found = connections.runtime
    assert isinstance(found, Supervisor), "a change of supervisor in an environment without it"
    return SupervisorExecutor(found, connections.system)


class SupervisorExecutor:
    """Applies exactly what a change says."""

    def __init__(self, supervisor: Supervisor, system: System) -> None:
        self._supervisor, self._system = supervisor, system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises Refused where the guard no longer holds, NotReady where a process does not do what it is told."""
        effect = change.effect
        verb = Verb(effect["verb"])
        found = await self._guarded(change)
        if verb is Verb.EXEC:
            environment = await self._supervisor.environment(effect["workload"])
            environment |= {**effect.get("env", {}), **await resolve(self._system, effect.get("secrets", {}))}
            return await supervisor_exec.run(key, effect, environment, out)
        if verb in (Verb.DEPLOY, Verb.ROLLBACK):
            self._switch(effect)
            return await self._roll(effect, found, [p.name for p in found if p.active], cursor, out)
        if verb is Verb.RESTART:
            return await self._roll(effect, found, effect["processes"], cursor, out)
        if verb is Verb.SCALE:
            return await self._scale(effect, found, out)
        return await self._start_or_stop(verb, effect, found, out)

    async def end(self, key: str, change: Change) -> bool:
        """Ends a command that carries the key. supervisord itself carries none."""
        if change.effect["verb"] != Verb.EXEC.value:
            return True
        return await supervisor_exec.end(key)

    async def _guarded(self, change: Change) -> list[Process]:
        supervisor, workload = self._supervisor, change.effect["workload"]
        found = supervisor.chosen(await supervisor.look(), workload)
        guard = change.guard or {}
        slots = sorted(process.name for process in found)
        if "slots" in guard and guard["slots"] != slots:
            raise Refused(
                f"the slots of {workload} are not those of the plan any more: {', '.join(slots)}", "plan anew"
            )
        if "version" in guard and supervisor.releases:
            now = supervisor.releases.running()
            # The version that is wanted is right too: another workload of this deploy has switched it.
            if now not in (guard["version"], change.effect["version"]):
                raise Refused(
                    f"{supervisor.releases.current} points to {now or 'no release'} now, and did to"
                    f" {guard['version'] or 'none'} when this was planned",
                    "plan anew",
                )
        return found

    def _switch(self, effect: dict[str, Any]) -> None:
        releases = self._supervisor.releases
        assert releases is not None
        if releases.running() == effect["version"]:
            return
        if not Path(effect["release"]).is_dir():
            raise ChangeFailed(f"the release {effect['release']} is gone", "make it again, or deploy another one")
        try:
            releases.switch(effect["version"], datetime.now(UTC))
        except OSError as error:
            raise ChangeFailed(f"{releases.current} cannot be switched: {error.strerror}",
                               "this user must be able to write its folder") from error  # fmt: skip

    async def _start_or_stop(self, verb: Verb, effect: dict[str, Any], found: list[Process], out: Sink) -> Done:
        if "processes" in effect:
            chosen = [process for process in found if process.name in effect["processes"]]
        else:
            active = [process for process in found if process.active]
            idle = [process for process in found if not process.active]
            chosen = active + idle[: max(0, effect["replicas"] - len(active))]
        act = self._start if verb is Verb.START else self._stop
        for process in chosen:
            await act(process, effect["wait"], out)
        return Done({"workload": effect["workload"], verb.value: [process.name for process in chosen]})

    async def _scale(self, effect: dict[str, Any], found: list[Process], out: Sink) -> Done:
        """The lowest slots are used first and left last; those that run already are kept."""
        active = [process for process in found if process.active]
        idle = [process for process in found if not process.active]
        wanted = effect["replicas"]
        for process in idle[: max(0, wanted - len(active))]:
            await self._start(process, effect["wait"], out)
        for process in reversed(active[wanted:]):
            await self._stop(process, effect["wait"], out)
        return Done({"workload": effect["workload"], "replicas": wanted, "before": len(active)})

    async def _roll(
        self, effect: dict[str, Any], found: list[Process], names: Sequence[str], cursor: Json, out: Sink
    ) -> Done | More:
        """Restart the next process that is not done yet."""
        state = cursor or {"names": list(names), "done": [], "spare": await self._cover(effect, found, out)}
        left = [name for name in state["names"] if name not in state["done"]]
        if left:
            process = next(process for process in found if process.name == left[0])
            await self._stop(process, effect["wait"], out)
            await self._start(process, effect["wait"], out)
            state = {**state, "done": [*state["done"], process.name]}
        if len(state["done"]) < len(state["names"]):
            return More(state, {"done": len(state["done"]), "of": len(state["names"])})
        for process in found:
            if process.name == state["spare"]:
                await self._stop(process, effect["wait"], out)
        result = {"workload": effect["workload"], "restarted": state["done"]}
        return Done({**result, "version": effect["version"]} if "version" in effect else result)

    async def _cover(self, effect: dict[str, Any], found: list[Process], out: Sink) -> str:
        """A further process while the only one is restarted, where a shared socket would close without it."""
        shared = any(program.shares_socket for program in self._supervisor.programs(effect["workload"]))
        idle = [process for process in found if not process.active]
        if not shared or not idle or len(found) - len(idle) != 1:
            return ""
        await self._start(idle[0], effect["wait"], out)
        return idle[0].name

    async def _start(self, process: Process, wait: float, out: Sink) -> None:
        before = await self._one(process)
        if not before.active:
            try:
                await self._supervisor.tell("startProcess", process.full_name, False)
            except SupervisorFault as fault:
                if fault.code != ALREADY_STARTED:
                    now = await self._one(process)
                    raise NotReady(f"{process.full_name} could not be started: {now.spawn_error or fault.message}",
                                   _look_at(now)) from fault  # fmt: skip
        now = await self._until(process, ("RUNNING", "FATAL", "EXITED"), wait)
        if not now.running:
            raise NotReady(f"{process.full_name} did not come up: {reason(now)}{last_words(now)}", _look_at(now))
        await out.write(f"{process.full_name} runs, pid {now.pid}\n")

    async def _stop(self, process: Process, wait: float, out: Sink) -> None:
        try:
            await self._supervisor.tell("stopProcess", process.full_name, False)
        except SupervisorFault as fault:
            if fault.code != NOT_RUNNING:
                raise
        now = await self._until(process, ("STOPPED", "EXITED", "FATAL"), wait)
        if now.state not in ("STOPPED", "EXITED", "FATAL"):
            raise NotReady(f"{process.full_name} did not end within {wait:g} s", "look what it waits for, then end it")
        await out.write(f"{process.full_name} is stopped\n")

    async def _one(self, process: Process) -> Process:
        found = await self._supervisor.look()
        return next(p for p in self._supervisor.chosen(found, process.group) if p.name == process.name)

    async def _until(self, process: Process, states: Sequence[str], seconds: float) -> Process:
        """The process once it is in one of the states, or as it is after the seconds."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while True:
            now = await self._one(process)
            if now.state in states or clock() > deadline:
                return now
            await asyncio.sleep(LOOK_SECONDS)


def last_words(process: Process) -> str:
    """The last line that it wrote, for the error that tells of its end."""
    for path in reversed(process.logs):
        for line in tail(Path(path), 1):
            return f"; its last words: {line.strip()[:300]}"
    return ""


def _look_at(process: Process) -> str:
    return f"look at {process.logs[-1]}" if process.logs else "look at its log"
