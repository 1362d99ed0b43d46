"""Services of a host: systemctl, service, supervisorctl, pm2, journalctl, and sudo before any of them."""

from __future__ import annotations

from dataclasses import replace

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.inventory import Part
from opsbook.manual.lift.model import Why
from opsbook.manual.lift.registry import lift, lifts

OPERATIONS = {
    "restart": "workload.restart",
    "reload": "workload.restart",
    "stop": "workload.stop",
    "start": "workload.start",
    "reload-or-restart": "workload.restart",
}
LOOKS = frozenset({"status", "is-active", "is-failed", "show"})


@lifts("systemctl", "service", "supervisorctl", "pm2", "rc-service")
def services(use: Use) -> Lifted:
    words = [word for word in use.command.words[1:] if not word.startswith("-")]
    if use.command.program in ("service", "rc-service") and len(words) > 1:
        words = [words[1], words[0], *words[2:]]
    if not words:
        return Stay(Why.ELSEWHERE, "it names no service")
    verb, names = words[0], [name.partition(":")[0] for name in words[1:]]
    if verb not in OPERATIONS and verb not in LOOKS:
        return Stay(Why.ELSEWHERE, f"`{verb}` is about the host's service manager")
    parts: list[Part] = []
    for name in names:
        part = use.inventory.workload(name)
        if part is None:
            return Stay(Why.ELSEWHERE, f"{name} is no workload of the book")
        parts.append(part)
    if names in ([], ["all"]):
        parts = use.inventory.with_workload()
    if not parts:
        return Stay(Why.OPEN, "it names no service")
    if verb in LOOKS:
        return use.check("workload.missing", *parts)
    steps = []
    for part in parts:
        made = use.op(OPERATIONS[verb], part)
        if isinstance(made, Stay):
            return made
        steps += made
    return steps


@lifts("journalctl")
def journal(use: Use) -> Lifted:
    words = use.command.words
    names = [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-u", "--unit")]
    names += [word.partition("=")[2] for word in words if word.startswith("--unit=")]
    parts = [part for name in names if (part := use.inventory.workload(name))]
    if not parts:
        return Stay(Why.ELSEWHERE, "it reads the host's journal")
    return use.check("workload.log_errors", *parts)


@lifts("sudo", "timeout", "time", "nice", "watch", "doas", "nohup")
def carried(use: Use) -> Lifted:
    """Programs before a program: the inner one is what is meant."""
    if len(use.command.nested) != 1:
        return None
    return lift(replace(use, command=use.command.nested[0]))
