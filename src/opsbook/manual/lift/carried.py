"""Commands that run inside a workload: what their own tool makes of them, else an execution inside the component."""

from __future__ import annotations

from dataclasses import replace

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.harmless import only_adds, only_looks
from opsbook.manual.lift.inventory import Part
from opsbook.manual.lift.model import Form, Step, Why
from opsbook.manual.lift.registry import lift
from opsbook.manual.shell import Command

SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh"})
PROMPTS = frozenset(
    {
        "psql",
        "redis-cli",
        "mysql",
        "python",
        "python3",
        "ipython",
        "node",
        "irb",
        "mongosh",
        "mongo",
        "top",
        "htop",
        "vi",
        "vim",
        "nano",
    }
)
CLIENTS = {
    "psql": "postgres",
    "pg_isready": "postgres",
    "pg_dump": "postgres",
    "pg_restore": "postgres",
    "redis-cli": "redis",
    "valkey-cli": "redis",
    "celery": "celery",
    "vacuumdb": "postgres",
    "reindexdb": "postgres",
    "pg_dumpall": "postgres",
    "pg_basebackup": "postgres",
}
"""Program → the kind of component that it talks to, where the container's name says nothing."""


def lift_carried(use: Use, part: Part | None, target: str) -> Lifted:
    """What `exec` into a component becomes."""
    inner = use.command.nested[0] if use.command.nested else None
    if inner is None or _prompts(inner):
        return Stay(
            Why.INTERACTIVE, f"it opens a prompt in {part.name if part else target}", "", part.name if part else ""
        )
    if inner.program in SHELLS and len(inner.nested) == 1 and not inner.nested[0].redirects:
        inner = inner.nested[0]
    if part is None and inner.program in CLIENTS:
        part = use.inventory.one(CLIENTS[inner.program])
    found = None
    if not (inner.program in SHELLS and inner.nested):
        found = lift(replace(use, command=inner, inside=part))
    if isinstance(found, list):
        return found
    if part is None:
        return found or Stay(Why.OPEN, f"{target or 'it'} is not the name of one workload")
    return _inside(use, part, inner, found)


def _inside(use: Use, part: Part, inner: Command, stay: Stay | None) -> Lifted:
    why = stay.why if stay else Why.PROGRAM
    note, needs = (stay.note, stay.needs) if stay else ("", "")
    if why in (Why.INTERACTIVE, Why.HARM):
        return stay
    if not part.workload or use.behind or use.redirected or inner.heredoc is not None:
        if use.behind or use.redirected:
            why = why if needs else Why.OUTPUT
        return Stay(why, note, needs, part.name)
    script = inner_text(inner)
    if only_looks(inner):
        step = use.step(Form.SH, script, part, attributes={"on": part.name}, risk="read")
        return [step.having(why=Why.LOOKS if not stay else stay.why, note=note, needs=needs)]
    if stay is None and not inner.redirects:
        argv = [use.value(word) for word in inner.argv]
        if all(word is not None for word in argv):
            made = use.op("workload.exec", part, argv=argv)
            if isinstance(made, list):
                return made
    step = use.step(Form.SH, script, part, attributes={"on": part.name}, risk="safe" if only_adds(inner) else "")
    return [step.having(why=why, note=note, needs=needs)]


def inner_text(inner: Command) -> str:
    """The inner command as it is written: a shell's own script, else its words."""
    if inner.program in SHELLS and inner.nested:
        words = [word.text for word in inner.argv]
        for at, word in enumerate(words):
            if word.startswith("-") and word.endswith("c") and at + 1 < len(words):
                return words[at + 1]
    return " ".join(word.raw for word in inner.argv)


def _prompts(inner: Command) -> bool:
    """Whether it waits for somebody to type."""
    words = inner.words
    if inner.program in SHELLS:
        return not inner.nested and inner.heredoc is None and not any(not word.startswith("-") for word in words[1:])
    if inner.program not in PROMPTS or inner.heredoc is not None or inner.embedded:
        return "shell" in words[-1:] or "console" in words[-1:]
    if inner.program in ("redis-cli", "valkey-cli"):
        from opsbook.manual.lift.tools.redis import redis_words

        return not redis_words(inner)
    if any(redirect.operator == "<" for redirect in inner.redirects):
        return False
    if inner.program == "psql":
        return not any(
            word in ("-c", "-f", "-l", "--list") or word.startswith(("--command", "--file")) for word in words
        )
    if inner.program == "top":
        return not any("b" in word for word in words[1:] if word.startswith("-"))
    operands = [word for word in words[1:] if not word.startswith("-")]
    return not operands or "shell" in words[-1:]


def as_shell(use: Use, text: str, stay: Stay | None, risk: str) -> Step:
    """The shell step of what could not be lifted."""
    why = stay.why if stay else Why.PROGRAM
    step = use.step(Form.SH, text, None, risk=risk)
    return step.having(
        why=why,
        note=stay.note if stay else "",
        needs=stay.needs if stay else "",
        component=stay.component if stay else "",
    )
