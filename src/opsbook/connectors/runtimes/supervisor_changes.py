"""Changes of workloads that supervisord holds, as effects that can be shown before they happen.

Effects say the desired state, so that applying one twice does it once; processes, pids and versions seen are evidence;
what must not have moved is the guard.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsbook.book.load import nearest
from opsbook.connectors.change import Change
from opsbook.connectors.runtimes.arguments import (
    DeployArguments,
    ExecArguments,
    NoArguments,
    RollbackArguments,
    ScaleArguments,
    StartArguments,
    read,
)
from opsbook.connectors.runtimes.contract import Unsupported, Verb
from opsbook.errors import Absent, Refused

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.supervisor import Process, Supervisor
    from opsbook.connectors.runtimes.supervisor_releases import Releases

KIND = "supervisor"


async def planned(supervisor: Supervisor, workload: str, verb: Verb, arguments: dict[str, Any]) -> Change:
    """The change that the verb would be now. Raises UsageError, Unsupported or Refused with the reason."""
    given = read(workload, verb, arguments)
    found = supervisor.chosen(await supervisor.look(), workload)
    if verb is Verb.EXEC:
        return _exec(supervisor, workload, given)
    if verb is Verb.SCALE:
        return _scale(supervisor, workload, found, given)
    if verb in (Verb.DEPLOY, Verb.ROLLBACK):
        return _deploy(supervisor, workload, found, given, verb)
    return _run(workload, found, verb, given)


def _evidence(found: Sequence[Process]) -> dict[str, Any]:
    return {
        "slots": len(found),
        "ready": sum(process.running for process in found),
        "processes": {process.name: {"state": process.state, "pid": process.pid} for process in found},
    }


def _guard(found: Sequence[Process]) -> dict[str, Any]:
    """The slots are those that were seen: nobody has configured the workload anew."""
    return {"slots": sorted(process.name for process in found)}


def _run(workload: str, found: Sequence[Process], verb: Verb, given: NoArguments) -> Change:
    active = [process.name for process in found if process.active]
    wait = given.wait
    if isinstance(given, StartArguments):
        # Where some run already and nobody says how many are wanted, the others are spare slots.
        names = active or [process.name for process in found][: given.replicas]
        effect = _effect(verb, workload, names, wait)
        if given.replicas is not None:
            # What is wanted, not what lacks: an earlier step of the same run may stop it before this one is reached.
            effect = {"verb": verb.value, "workload": workload, "replicas": given.replicas, "wait": wait}
        undo = Change(KIND, _effect(Verb.STOP, workload, names, wait), guard=_guard(found))
        return Change(KIND, effect, _evidence(found), _guard(found),
                      "nothing to undo: it runs already" if active else undo)  # fmt: skip
    if verb is Verb.STOP:
        back = (
            Change(KIND, _effect(Verb.START, workload, active, wait), guard=_guard(found))
            if active
            else "it does not run now"
        )
        names = [process.name for process in found]
        return Change(KIND, _effect(verb, workload, names, wait), _evidence(found), _guard(found), back)
    if not active:
        raise Refused(f"no process of {workload!r} runs, so that none can be restarted", "start it")
    return Change(KIND, _effect(verb, workload, active, wait), _evidence(found), _guard(found),
                  "a restart has no undo; the processes run again when it is done")  # fmt: skip


def _effect(verb: Verb, workload: str, names: Sequence[str], wait: float) -> dict[str, Any]:
    return {"verb": verb.value, "workload": workload, "processes": sorted(names), "wait": wait}


def _scale(supervisor: Supervisor, workload: str, found: Sequence[Process], given: ScaleArguments) -> Change:
    if len(supervisor.programs(workload)) > 1:
        raise Unsupported(
            f"{workload!r} is a group of several programs; it has no single number of processes",
            "scale one of its programs, in a group of its own",
        )
    if given.replicas > len(found):
        raise Unsupported(
            f"{workload!r} has {len(found)} slots; supervisor cannot run {given.replicas} processes of it",
            f"raise `numprocs` of [program:{workload}] to {given.replicas}, then `supervisorctl update {workload}`",
        )
    running = sum(process.active for process in found)

    def to(count: int) -> dict[str, Any]:
        return {"verb": Verb.SCALE.value, "workload": workload, "replicas": count, "wait": given.wait}

    back = Change(KIND, to(running), guard=_guard(found))
    return Change(KIND, to(given.replicas), _evidence(found), _guard(found), back)


def _deploy(
    supervisor: Supervisor,
    workload: str,
    found: Sequence[Process],
    given: DeployArguments | RollbackArguments,
    verb: Verb,
) -> Change:
    releases = supervisor.releases
    assert releases is not None
    now = releases.running()
    version = given.version or releases.previous()
    if not version:
        raise Refused(f"there is no version before {now or 'this one'} to go back to", "name one with `version`")
    _must_exist(releases, version)
    _runs_from(supervisor, workload, releases)

    def to(target: str) -> dict[str, Any]:
        return {"verb": verb.value, "workload": workload, "version": target, "current": str(releases.current),
                "release": str(releases.folder / target), "wait": given.wait}  # fmt: skip

    guard = {**_guard(found), "version": now}
    # Another workload of this deploy may have switched the symlink: what these processes run is what they go back to.
    before = next((one for one in [*supervisor.versions(found), now] if one and one != version), "")
    back: Change | str = "nothing to undo: it runs this version already"
    if before:
        back = Change(KIND, {**to(before), "verb": Verb.ROLLBACK.value}, guard={**_guard(found), "version": version})
    return Change(KIND, to(version), {**_evidence(found), "version": before or now}, guard, back)


def _must_exist(releases: Releases, version: str) -> None:
    known = releases.versions()
    if version not in known:
        raise Absent(f"there is no release {version!r} in {releases.folder}", nearest(version, known))


def _runs_from(supervisor: Supervisor, workload: str, releases: Releases) -> None:
    """A deploy of what does not run from the symlink would change nothing and say that it did."""
    programs = supervisor.programs(workload)
    current = releases.current
    for program in programs:
        inside = program.directory and Path(program.directory).is_relative_to(current)
        if inside or str(current) in program.command:
            return
    if programs:
        raise Unsupported(
            f"{workload!r} does not run from {current}, so that a new release would not reach it",
            f"set `directory = {current}` of its program in supervisor's configuration",
        )


def _exec(supervisor: Supervisor, workload: str, given: ExecArguments) -> Change:
    programs = supervisor.programs(workload)
    if not programs:
        raise Unsupported(
            f"the directory and user of {workload!r} are not known", "set `runtime.config` in place of `runtime.url`"
        )
    effect = {"verb": Verb.EXEC.value, "workload": workload, "argv": list(given.argv), "timeout": given.timeout,
              "directory": programs[0].directory or "/", "user": programs[0].user}  # fmt: skip
    more = {name: value for name, value in (("env", given.env), ("secrets", given.secrets)) if value}
    return Change(KIND, {**effect, **more}, inverse="what a command did, only its author knows")
