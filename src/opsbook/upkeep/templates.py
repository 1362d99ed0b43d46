"""Texts of `procedures/`, with the names of a book put in, and steps that a book's contents make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial

from opsbook.engine.packaged_text import filled_from

filled = partial(filled_from, "opsbook.upkeep")


class Steps:
    """Numbered steps of a procedure, as Markdown."""

    def __init__(self, first: int = 1) -> None:
        self._next = first
        self._written: list[str] = []

    def act(self, text: str) -> None:
        """What a person does, and ticks."""
        self._number(f"- [ ] {text}")

    def op(self, said: str, attributes: str, body: str, kind: str = "op") -> None:
        """What opsbook does: a fenced block, of an operation where no other `kind` is named."""
        # A component's name may have dots, and the id of a step has none.
        attributes = re.sub(r"^id=\S+", lambda found: found[0].replace(".", "-"), attributes)
        lines = (f"```{kind} {attributes}", *body.splitlines(), "```")
        self._number(f"{said}\n\n" + "\n".join(f"   {line}" for line in lines))

    def _number(self, text: str) -> None:
        self._written.append(f"{self._next}. {text}\n")
        self._next += 1

    def __str__(self) -> str:
        return "\n".join(self._written)


def listed(names: Iterable[str]) -> str:
    """The body of a step that names several things, such as checks."""
    return "\n".join(f"- {name}" for name in names)


def restarted(components: Sequence[str], first: int, again: str = "") -> str:
    """Numbered steps that restart each of them. `again` ends their ids where they are restarted a second time."""
    steps = Steps(first)
    for name in components:
        steps.op(f"{name} reads it only when it starts.", f"id=restart-{name}{again} timeout=15m",
                 f"workload.restart: {{of: {name}}}")  # fmt: skip
    return str(steps)
