"""What the commands of a plan share: how the book names addresses and secrets, and which variables that needs.

A renderer of a kind is registered with `@as_commands(kind)`, in this room: it is given a change as plain
data and the `Script`, and yields lines of bash. It reads nothing but the book. A kind without one is told as a comment.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from typing import Any

from opsbook.book.references import VARIABLE, Reference
from opsbook.book.system import System
from opsbook.connectors.by_hand.functions import defined
from opsbook.connectors.by_hand.shell_text import comment, inside_quotes, word
from opsbook.connectors.change import Json
from opsbook.connectors.offered import Offered

Renderer = Callable[[Json, "Script"], Iterable[str]]
RENDERERS: Offered[Renderer] = Offered("renderers", "opsbook.connectors.by_hand")


def as_commands(kind: str) -> Callable[[Renderer], Renderer]:
    """Registers how changes of a kind are told as commands: `(change, script) -> lines`."""

    def register(render: Renderer) -> Renderer:
        RENDERERS.add(kind, render)
        return render

    return register


class Script:
    """A script that is being written for one system."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.needs: dict[str, str] = {}
        """Variables that must be set, and what each of them is."""
        self._functions: set[str] = set()

    def calls(self, *functions: str) -> None:
        """The script calls these functions: they are defined at its beginning."""
        self._functions.update(functions)

    def component(self, name: str) -> Any:
        """The settings of a component, as the book has them."""
        return self.system.components[name]

    def value(self, reference: Reference | str, what: str) -> str:
        """A word that yields the value of a reference when the script runs. `what` says what it is: `dsn of database`.

        A secret that stands in the book itself is not copied: it becomes a variable that is to be set.
        """
        found = reference if isinstance(reference, Reference) else Reference(reference)
        if not found.refers and not found.literal_secret:
            return word(found.text)
        return f'"{self.part(found, what)}"'

    def part(self, reference: Reference | str, what: str) -> str:
        """As `value`, for the inside of a word in double quotes."""
        found = reference if isinstance(reference, Reference) else Reference(reference)
        if found.literal_secret:
            name = re.sub(r"\W+", "_", what).upper()
            self.needs[name] = f"{what}, as it stands in the book"
            return f"${{{name}}}"
        if found.text.startswith("cmd:"):
            return f"$({shlex.join(shlex.split(found.text[4:]))})"
        if found.text.startswith("file:"):
            return f'$(cat "{self._filled(found.text[5:].strip(), what)}")'
        return self._filled(found.text, what)

    def _filled(self, text: str, what: str) -> str:
        """The text with its variables as those of the shell, which reads `${NAME:-default}` as references do."""
        told, at = "", 0
        for match in VARIABLE.finditer(text):
            told += inside_quotes(text[at : match.start()])
            default = "" if match[2] is None else f":-{inside_quotes(match[2])}"
            if match[2] is None:
                self.needs.setdefault(match[1], what)
            told, at = f"{told}${{{match[1]}{default}}}", match.end()
        return told + inside_quotes(text[at:])

    def opening(self) -> list[str]:
        """The lines before the first command: the folder of the book, the variables, and a stop where one is not set.

        Written last, when it is known what is needed.
        """
        lines = ["set -eu -o pipefail", f"cd {word(str(self.system.folder.absolute()))}"]
        if self.system.environment.env_file:
            lines.append(f"set -a; . {word(self.system.environment.env_file)}; set +a")
        if self.needs:
            lines += ["", "# Needs these variables:"]
        for name, what in sorted(self.needs.items()):
            lines += [f': "${{{name}:?is not set}}"' + "".join(f"  {line}" for line in comment(what)[:1])]
        if told := defined(self._functions):
            lines += ["", "# No password stands in an argv: everybody on the host could read it there.", *told]
        return lines
