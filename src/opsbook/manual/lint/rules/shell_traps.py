"""Traps of the shell: a file read and emptied at once, a program's text expanded, a name with a letter wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_FILTERS = frozenset("sort uniq sed awk grep egrep cat tr cut head tail jq yq envsubst tac fold iconv".split())  # noqa: SIM905


@rule(
    "OB145",
    "read-and-emptied",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="A filter that reads the file that its own output empties",
    reason="The shell opens the target and empties it before the program starts: what it reads is an empty file.",
    source="https://www.shellcheck.net/wiki/SC2094",
    bad=sh("sed 's/debug/info/' /etc/shop/app.conf > /etc/shop/app.conf"),
    good=sh("sed -i.bak 's/debug/info/' /etc/shop/app.conf"),
)
def read_and_emptied(context: Context) -> Iterator[Fault]:
    """`filter FILE > FILE`, in one command or over a pipe."""
    for step in context.steps:
        for redirect in step.command.redirects:
            if redirect.operator not in (">", ">|") or redirect.descriptor not in (-1, 1):
                continue
            target = redirect.target.text
            read = [s for s in step.block.pipeline(step) if s.program in _FILTERS and target in s.words[1:]]
            if read and not target.startswith("/dev/") and step.outer is None:
                yield Fault(step.place, f"empties {target} before it is read", Fix("write to another file, then mv"))


@rule(
    "OB146",
    "field-expanded",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="awk's fields in double quotes, where the shell takes them for its own parameters",
    reason="In double quotes $2 is the shell's second parameter, empty as a rule: awk prints whole lines.",
    source="https://www.gnu.org/software/gawk/manual/html_node/Quoting.html",
    bad=sh('docker ps | awk "{print $1}"'),
    good=sh("docker ps | awk '{print $1}'"),
)
def field_expanded(context: Context) -> Iterator[Fault]:
    """A program for awk whose word the shell expands, with $1 to $9 in it; none of a function or a script."""
    for step in context.steps:
        if step.program not in ("awk", "gawk", "mawk") or step.block.text.startswith("#!"):
            continue
        for word in step.command.argv[1:]:
            if word.quote == '"' and re.search(r"(?<!\\)\$\d", word.raw) and "{" in word.raw and step.outer is None:
                yield Fault(step.at(word), "the shell fills in $1 … before awk sees them", Fix("single quotes"))


@rule(
    "OB147",
    "variable-misspelt",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A variable that is set nowhere, one letter from one that the block sets",
    reason="An unset variable is the empty word: the path is cut short, and the command acts on something else.",
    source="https://www.shellcheck.net/wiki/SC2153",
    bad=sh("STAMP=$(date +%F)\npg_dump -Fc shop -f shop-$STAMP.dump\nrm shop-$STMP.dump"),
    good=sh("STAMP=$(date +%F)\npg_dump -Fc shop -f shop-$STAMP.dump\nrm shop-$STAMP.dump"),
)
def variable_misspelt(context: Context) -> Iterator[Fault]:
    """Used once and set nowhere in the manual, while the block sets and uses one whose name is almost the same."""
    for block in context.scripts:
        given = {a.name for step in block.steps for a in step.command.assignments}
        given |= set(re.findall(r"\b(?:read(?: -\w+)*|for|export|local|declare(?: -\w+)*) ([A-Za-z_]\w*)", block.text))
        for step in block.top:
            words = (*step.command.argv, *(r.target for r in step.command.redirects))
            for word in words:
                for name in word.variables:
                    near = _near(name, given)
                    if near and not _set_somewhere(context, name):
                        yield Fault(step.at(word), f"${name} is set nowhere; ${near} is", Fix(f"${near}"), subject=name)


def _set_somewhere(context: Context, name: str) -> bool:
    whole = "\n".join(context.document.lines)
    return bool(re.search(rf"\b{name}=|\b(?:read|for|export) (?:-\w+ )*{name}\b", whole))


def _near(name: str, given: set[str]) -> str:
    if len(name) < 4 or name in given or re.fullmatch(r"\d+|.*\d", name):
        return ""
    close = difflib.get_close_matches(name, sorted(given), 1, 0.85)
    return close[0] if close and abs(len(close[0]) - len(name)) <= 1 and close[0].lower() != name.lower() else ""
