"""What a procedure names and this environment does not have: programs, modules, files. Pure, besides looking at PATH.

Such a procedure is not proven wrong here. It needs something, and is told apart from one that fails.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator

from opsbook.engine.procedure import OnFailure, Procedure, Step, StepKind
from opsbook.manual.shell import commands, walk_commands

_BUILT_IN = """
. : [ [[ alias bg bind break builtin caller cd command compgen complete compopt continue declare dirs disown echo
enable eval exec exit export false fc fg getopts hash help history jobs kill let local logout mapfile popd printf pushd
pwd read readarray readonly return set shift shopt source suspend test time times trap true type typeset ulimit
umask unalias unset wait"""
BUILT_IN = frozenset(_BUILT_IN.split())
"""What bash knows itself (bash(1), shell builtin commands)."""
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_DEFINED = re.compile(r"(?m)(?:^|[;{]\s*)\s*(?:function\s+)?([\w-]+)\s*\(\)")

SAID = (
    (re.compile(r"(?P<name>[\w./+-]+): (?:command )?not found"), "the program {name}"),
    (re.compile(r"the program (?P<name>\S+) is not installed"), "the program {name}"),
    (re.compile(r"No module named '?(?P<name>[\w.]+)"), "the Python module {name}"),
    (re.compile(r"[\"'‘](?P<name>[^\"'‘’]+)[\"'’]: No such file or directory"), "the file {name}"),
    (re.compile(r"(?:^|\s)(?P<name>[\w./{}*+-]+): No such file or directory"), "the file {name}"),
    (re.compile(r"No such file or directory: '(?P<name>/[^']+)'"), "the file {name}"),
)  # fmt: skip
"""How shells, Python and programs of POSIX systems say that something is not there."""

BEYOND = (
    (re.compile(r"the environment variable (?P<name>\w+) is (?:not set|empty)"), "a value of {name}"),
    (re.compile(r"[Tt]he connection to the server (?P<name>\S+) was refused"), "a cluster that answers at {name}"),
    (re.compile(r"must be superuser or have privileges of (?P<name>\w+)"), "a role with the rights of {name}"),
    (re.compile(r"permission denied for (?P<name>\w+ \S+)"), "a role that may use {name}"),
    (re.compile(r"[Uu]nable to locate credentials"), "credentials of the object store"),
    (re.compile(r"[Cc]ould not resolve host: (?P<name>[\w.-]+)"), "the address {name}"),
    (re.compile(r"could not translate host name \"(?P<name>[^\"]+)\""), "the address {name}"),
    (re.compile(r"[Cc]annot connect to the Docker daemon at (?P<name>\S+?)\.?(?:\s|$)"), "a Docker daemon at {name}"),
)  # fmt: skip
"""How opsbook, PostgreSQL, kubectl, the AWS CLI, curl, libpq and docker say that they were not given enough."""


def programs(step: Step) -> list[str]:
    """The programs that a shell step calls on opsbook's own host."""
    if step.kind is not StepKind.SH or step.on:
        return []
    script = _TEMPLATE.sub("value", str(step.body.get("script", "")))
    own = set(_DEFINED.findall(script))
    found: dict[str, None] = {}
    for command in walk_commands(commands(script, console=False)):
        name = command.argv[0].value if command.argv and not command.remote else None
        if name and re.fullmatch(r"[\w./+-]+", name) and name not in BUILT_IN | own:
            found[name] = None
    return list(found)


def absent_programs(
    procedure: Procedure, which: Callable[[str], str | None] = shutil.which
) -> list[tuple[str, int, Step]]:
    """Program, number of the step from 1, and step, for each that is not installed; each program once."""
    found: dict[str, tuple[str, int, Step]] = {}
    for number, step in enumerate(procedure.steps, 1):
        for name in programs(step):
            if name not in found and which(name) is None:
                found[name] = (name, number, step)
    return list(found.values())


def needed(
    procedure: Procedure, is_set: Callable[[str], bool], which: Callable[[str], str | None] = shutil.which
) -> tuple[list[str], list[str]]:
    """What it cannot do without, and what it goes on without; a sentence each. `is_set` knows variables by name."""
    without: list[str] = []
    goes_on: list[str] = []
    for name, number, step in absent_programs(procedure, which):
        told = f"the program {name} (step {number}, {step.id})"
        (goes_on if step.on_failure is OnFailure.CONTINUE else without).append(told)
    unset = {name for step in procedure.steps for name in step.env if not is_set(name)}
    for name in sorted(unset):
        reads = [step for step in procedure.steps if name in step.env]
        told = f"a value of {name} ({', '.join(step.id for step in reads)})"
        (goes_on if all(step.on_failure is OnFailure.CONTINUE for step in reads) else without).append(told)
    return without, goes_on


def absent(message: str, step: Step) -> str:
    """What a step that failed says is not there; else empty.

    A file or program counts where the step itself names it: any other is somebody's product, and its lack a fault.
    """
    for pattern, told in BEYOND:
        if match := pattern.search(message):
            return told.format(**match.groupdict())
    text = "\n".join(_texts(step.body))
    for pattern, told in SAID:
        match = pattern.search(message)
        if match and match["name"].rstrip("/").rpartition("/")[2] in text:
            return told.format(name=match["name"])
    return ""


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    else:
        yield str(value)
