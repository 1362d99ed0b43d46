"""Changes of workloads by supervisorctl."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opsbook.book.environments import SupervisorRuntime
from opsbook.book.references import Reference
from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, word, words
from opsbook.connectors.change import Json
from opsbook.connectors.runtimes.contract import Verb

ACTIVE = ("STARTING", "RUNNING", "BACKOFF")


@as_commands("supervisor")
def workload(change: Json, script: Script) -> Iterator[str]:
    """Its processes by name, as they were seen when it was planned."""
    effect: dict[str, Any] = change["effect"]
    verb, program = Verb(effect["verb"]), control(script)
    if verb is Verb.EXEC:
        yield from _inside(effect, script)
        return
    slots = sorted((change.get("guard") or {}).get("slots", ()))
    names = list(effect["processes"]) if "processes" in effect else slots[: effect.get("replicas", len(slots))]
    if verb is Verb.SCALE:
        seen = ((change.get("evidence") or {}).get("processes") or {}).items()
        active = sorted(name for name, process in seen if process["state"] in ACTIVE)
        idle = [name for name in slots if name not in active]
        yield from _told(program, "start", effect, idle[: max(0, effect["replicas"] - len(active))])
        yield from _told(program, "stop", effect, active[effect["replicas"] :][::-1])
    elif verb in (Verb.DEPLOY, Verb.ROLLBACK):
        current = Path(effect["current"])
        fresh = current.with_name(f".{current.name}.new")
        yield f"ln -sfnr -- {word(effect['release'])} {word(str(fresh))}"
        yield f"mv -T -- {word(str(fresh))} {word(str(current))}"
        seen = ((change.get("evidence") or {}).get("processes") or {}).items()
        active = sorted(name for name, process in seen if process["state"] in ACTIVE)
        yield from (line for name in active or slots for line in _told(program, "restart", effect, [name]))
    elif verb is Verb.RESTART:
        yield from (line for name in names for line in _told(program, "restart", effect, [name]))
    else:
        yield from _told(program, verb.value, effect, names)


def _told(control: str, verb: str, effect: dict[str, Any], names: list[str]) -> Iterator[str]:
    if names:
        full = [f"{effect['workload']}:{name}" for name in names]
        yield f"{control} {verb} {words(full)}"


def _inside(effect: dict[str, Any], script: Script) -> Iterator[str]:
    """A command in the folder of the workload, by its user; its environment is that of the program in supervisor."""
    yield from comment(f"with the environment of {effect['workload']}, as supervisor's configuration has it", "    ")
    given = [f"{name}={word(value)}" for name, value in effect.get("env", {}).items()]
    given += [f"{name}={script.value(text, name)}" for name, text in effect.get("secrets", {}).items()]
    run = " ".join(word(one, script=True) for one in effect["argv"])
    user = f"runuser -u {word(effect['user'])} -- " if effect.get("user") else ""
    # Assigned before the command, not by `env`: an argv can be read by everybody on the host.
    yield f"( cd {word(effect['directory'])} && {' '.join([*given, ''])}{user}{run} )"


def control(script: Script) -> str:
    """supervisorctl of the environment."""
    runtime = script.system.environment.runtime
    assert isinstance(runtime, SupervisorRuntime), "a change of supervisor in an environment without it"
    if runtime.url is not None:
        return f"supervisorctl -s {script.value(runtime.url, 'url of the runtime')}"
    return f"supervisorctl -c {script.value(Reference(runtime.config), 'config of the runtime')}"
