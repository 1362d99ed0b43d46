"""The text of a shell step: what it needs of the lines before it, its variables, its parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from opsbook.manual.lift.context import _DATE as DATE
from opsbook.manual.lift.context import Context, dated_parameter
from opsbook.manual.shell import Command
from opsbook.manual.shell_tree import PLACEHOLDER

_OWN = frozenset(
    [
        "HOME",
        "PATH",
        "USER",
        "PWD",
        "HOSTNAME",
        "LANG",
        "SHELL",
        "RANDOM",
        "LINENO",
        "IFS",
        "OLDPWD",
        "UID",
        "EUID",
        "PPID",
        "SECONDS",
    ]
)


def needed(script: str, setup: Sequence[str], context: Context) -> list[str]:
    """The lines that set what a script reads, and the folder it runs in."""
    kept: list[str] = []
    text = script
    for line in reversed(setup):
        name = re.match(r"\s*(?:export\s+|local\s+|readonly\s+|declare\s+(?:-\w+\s+)*)?(\w+)\+?=", line)
        if name is None or re.search(rf"\$\{{?[#!]?{name[1]}\b", text):
            if name and DATE.fullmatch(context.setting.get(name[1], "").strip()):
                line = f"{name[1]}={{{{ {dated_parameter(context, name[1])} }}}}"
            kept.insert(0, line)
            text += "\n" + line
    return kept


def environment(_commands: Sequence[Command], script: str) -> list[str]:
    """Variables that a script reads and does not set: it must be given them."""
    read: dict[str, None] = {}
    for name in re.findall(r"\$\{?([A-Za-z_]\w*)", re.sub(r"'[^'\n]*'", "", script)):
        read[name] = None
    given = set(re.findall(r"(?:^|[\s;(])(\w+)\+?=", script)) | set(re.findall(r"\bfor\s+(\w+)\b", script))
    given |= {word for line in re.findall(r"\bread\s+([^\n;|]*)", script) for word in line.split()}
    return [name for name in read if name not in given and name not in _OWN and not name.startswith("OPSBOOK_")]


def templated(text: str, context: Context) -> str:
    """A script with positional parameters and placeholders as parameters of the procedure; other braces stay braces."""
    escaped = text.replace("{{", "{{ '{{' }}")
    pieces = re.split(r"('[^'\n]*')", escaped)
    for at in range(0, len(pieces), 2):
        pieces[at] = re.sub(
            r"\$\{?([1-9])\}?(?![\w}])", lambda m: _parameter(f"${m[1]}", f"argument_{m[1]}", context), pieces[at]
        )
    return PLACEHOLDER.sub(lambda m: _parameter(m[0], m[1] or m[2], context), "".join(pieces))


def _parameter(source: str, wanted: str, context: Context) -> str:
    return "{{ " + context.parameters.take(source, wanted) + " }}"


def with_quotes(script: str, context: Context) -> str:
    """`$NAME` becomes `"$NAME"` where it holds a value that varies: as one word it is nothing else."""
    if "={{ " not in script:
        return script
    names = "|".join(re.escape(name) for name in context.setting)
    bare = re.compile(
        rf"(?<=\s)((?:[^\s\"'`;|&<>()*?\[\]{{}}$=]|\$\{{?\w+\}}?)*\$\{{?(?:{names})\b\}}?(?:[^\s\"'`;|&<>()*?\[\]{{}}$]|\$\{{?\w+\}}?)*)(?=\s|$)"
    )
    return bare.sub(r'"\1"', script)


def keeping_templates(script: str, context: Context) -> str:
    """`NAME={{ parameter }}` lines of the setup stay templates; the rest is made safe."""
    lines = script.split("\n")
    own = [line for line in lines if re.fullmatch(r"\w+=\{\{ \w+ \}\}", line)]
    rest = [line for line in lines if not re.fullmatch(r"\w+=\{\{ \w+ \}\}", line)]
    return "\n".join([*own, templated("\n".join(rest), context)])
