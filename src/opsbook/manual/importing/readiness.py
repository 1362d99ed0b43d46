"""Whether a procedure runs as it was imported, as far as its text tells; a rehearsal proves it."""

from __future__ import annotations

import re

from opsbook.manual.importing.procedures import Written, render
from opsbook.manual.lift.harmless import LOOKS
from opsbook.manual.lift.model import Form, Parameter, Step
from opsbook.manual.shell import commands, walk_commands

RUNS, NEEDS, BY_HAND = "runs", "needs", "by hand"
EVERYWHERE = LOOKS | frozenset(
    ["bash", "bunzip2", "bzip2", "cd", "chmod", "chown", "cp", "exit", "export", "find", "gunzip", "gzip", "kill", "ln",
     "mkdir", "mktemp", "mv", "nohup", "rm", "rmdir", "sed", "set", "sh", "source", "sudo", "tar", "tee", "time",
     "timeout", "touch", "xargs", "xz", ":"]
)  # fmt: skip
"""Programs that any Linux host has: that a step calls one is nothing to be told."""
FOUND = (
    re.compile(r"workload\.scale: .*replicas: '?\{\{ (?P<name>\w+) \}\}"),
    re.compile(r"workload\.(?:deploy|rollback): .*version: '?\{\{ (?P<name>\w+) \}\}"),
    re.compile(r"postgres\.\w+: .*\btable: '?\{\{ (?P<name>\w+) \}\}"),
)
"""Parameters that a rehearsal finds in the system itself."""


def as_imported(one: Written) -> tuple[str, list[str]]:
    """`runs`, `needs` with what, or `by hand`."""
    real = [step for step in one.steps if step.form is not Form.PERSON]
    if not real:
        return BY_HAND, []
    text = render(one)[0]
    needs = [f"a value of `{p.name}`" for p in one.context.parameters.used_in(text) if _open(p, text)]
    programs: dict[str, None] = {}
    variables: dict[str, None] = {}
    for step in real:
        if step.form is Form.SH:
            programs |= dict.fromkeys(_programs(step))
            variables |= dict.fromkeys(name for name in step.attributes.get("env", "").split(",") if name)
    if programs:
        needs.append(f"{'the programs' if len(programs) > 1 else 'the program'} {', '.join(programs)}")
    if variables:
        needs.append(f"{', '.join(variables)}")
    if any(step.form is Form.SH and not step.attributes.get("on") for step in real):
        needs.append("the folder and files of its shell steps")
    inside = dict.fromkeys(step.attributes["on"] for step in real if step.form is Form.SH and "on" in step.attributes)
    needs += [f"the programs and files that its shell steps name inside {name}" for name in inside]
    return (NEEDS, needs) if needs else (RUNS, [])


def _open(parameter: Parameter, text: str) -> bool:
    if parameter.example is not None or parameter.default is not None or parameter.type != "text":
        return False
    return not any(match["name"] == parameter.name for pattern in FOUND for match in pattern.finditer(text))


def _programs(step: Step) -> list[str]:
    if step.attributes.get("on"):
        return []
    script = re.sub(r"\{\{.*?\}\}", "value", str(step.body))
    found = [c.argv[0].value for c in walk_commands(commands(script, console=False)) if c.argv and not c.remote]
    return [name for name in found if name and re.fullmatch(r"[\w./+-]+", name) and name not in EVERYWHERE]
