"""docker and docker compose: services and containers by name."""

from __future__ import annotations

import re

from opsbook.manual.grammar.invocation import Invocation, invocation, spoken
from opsbook.manual.lift.carried import lift_carried
from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.inventory import Part
from opsbook.manual.lift.model import Step, Why
from opsbook.manual.lift.registry import lifts

OPERATIONS = {
    "restart": "workload.restart",
    "stop": "workload.stop",
    "start": "workload.start",
    "kill": "workload.stop",
    "up": "workload.start",
}
OBSERVATIONS = {
    "ps": "workload.missing",
    "logs": "workload.log_errors",
    "stats": "workload.memory_ratio",
    "top": "workload.memory_ratio",
    "service ps": "workload.missing",
    "service ls": "workload.missing",
    "container ls": "workload.missing",
    "service logs": "workload.log_errors",
    "ls": "workload.missing",
    "inspect": "workload.missing",
}


@lifts("docker", "docker-compose", "podman", "podman-compose", "nerdctl")
def docker(use: Use) -> Lifted:
    call = invocation(use.command)
    if call is None:
        return None
    compose = call.tool == "docker compose"
    if call.verb in ("exec", "run", "container exec") and use.command.nested:
        target = spoken(call.args[0]) if call.args else ""
        part = use.inventory.workload(target) if not re.search(r"[<$`]", target) else None
        if call.verb == "run" and not compose:
            return Stay(Why.ELSEWHERE, "it runs a container of its own")
        return lift_carried(use, part, target)
    if call.verb in ("exec", "attach"):
        return Stay(Why.INTERACTIVE, "it opens a prompt")
    if call.verb in OPERATIONS:
        return _change(use, call, compose)
    if call.verb in OBSERVATIONS:
        return _look(use, call)
    if call.verb == "service scale" or call.verb == "scale":
        return _scale(use, [spoken(word) for word in call.args])
    if compose and call.verb == "down":
        return (
            _all(use, "workload.stop", "down")
            if not call.has("-v", "--volumes")
            else Stay(Why.ELSEWHERE, "it removes the volumes too")
        )
    return Stay(Why.ELSEWHERE, "it addresses images, volumes or the engine, not a component")


def _parts(use: Use, call: Invocation) -> list[Part] | Stay:
    found = []
    for word in call.args:
        name = spoken(word)
        part = use.inventory.workload(name)
        if part is None:
            given = bool(re.search(r"[<$`]", name))
            return Stay(Why.OPEN if given else Why.ELSEWHERE, f"{name} is not the name of a workload of the book")
        found.append(part)
    return found


def _change(use: Use, call: Invocation, compose: bool) -> Lifted:
    if call.verb == "up" and not call.has("-d", "--detach", "--wait"):
        return Stay(Why.INTERACTIVE, "`up` without -d stays in the foreground")
    scales = call.values("--scale")
    if scales:
        return _scale(use, scales)
    if call.has("--build", "--force-recreate", "--no-deps"):
        return Stay(
            Why.MISSING, "it replaces containers by what was built or pulled; `workload.deploy` needs a version", ""
        )
    parts = _parts(use, call)
    if isinstance(parts, Stay):
        return parts
    if not parts:
        return _all(use, OPERATIONS[call.verb], call.verb) if compose else Stay(Why.OPEN, "it names no container")
    return _each(use, parts, OPERATIONS[call.verb])


def _all(use: Use, operation: str, verb: str) -> Lifted:
    parts = use.inventory.with_workload()
    if not parts:
        return Stay(Why.OPEN, f"`{verb}` means every service, and the manual names none")
    return _each(use, parts if operation != "workload.stop" else parts[::-1], operation)


def _each(use: Use, parts: list[Part], operation: str) -> Lifted:
    steps: list[Step] = []
    for part in parts:
        made = use.op(operation, part)
        if isinstance(made, Stay):
            return made
        if operation == "workload.stop":
            use.context.stopped.add(part.name)
        elif operation == "workload.start":
            use.context.stopped.discard(part.name)
        steps += made
    return steps


def _scale(use: Use, written: list[str]) -> Lifted:
    from opsbook.manual.lift.tools.kubectl import scaled

    steps: list[Step] = []
    for one in written:
        name, _, number = one.partition("=")
        part = use.inventory.workload(name)
        made = scaled(use, part, number) if part else Stay(Why.ELSEWHERE, f"{name} is no workload of the book")
        if isinstance(made, Stay):
            return made
        steps += made
    return steps


def _look(use: Use, call: Invocation) -> Lifted:
    parts = _parts(use, call)
    if isinstance(parts, Stay):
        return parts
    parts = parts or use.inventory.with_workload()
    made = use.check(OBSERVATIONS[call.verb], *parts) if parts else Stay(Why.ELSEWHERE, "the book has no workload")
    if isinstance(made, list) and call.has("-f", "--follow"):
        return [step.having(mended=("it no longer waits for ever: the newest lines are looked at",)) for step in made]
    return made
