"""The manuals of one system, read once: what they say, their commands, and what lint says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from opsbook.manual.document import Document, Fence
from opsbook.manual.extract.statements import read_block
from opsbook.manual.lint.finding import Finding
from opsbook.manual.reading import Manual
from opsbook.manual.shell import Command, walk_commands


@dataclass
class Source:
    """One manual. `name` is how its lines are called in the book and the report."""

    name: str
    document: Document
    manual: Manual
    findings: list[Finding] = field(default_factory=list)
    fixed: list[Open] = field(default_factory=list)
    """What was written rightly before it was lifted, by a fix of lint."""

    @cached_property
    def fences(self) -> list[Fence]:
        """Every block that runs something."""
        return [f for f in self.document.fences() if f.language in ("bash", "console", "sql")]

    @cached_property
    def commands(self) -> list[Command]:
        """Every command of every block, carried ones too."""
        return [c for fence in self.fences for c in walk_commands(read_block(fence).parsed)]

    @cached_property
    def text(self) -> str:
        return "\n".join(self.document.lines)

    def place(self, line: int) -> str:
        """Where something stands."""
        return f"{self.name}:{line}"


@dataclass
class Open:
    """What a person must decide: the place, and the sentence."""

    place: str
    text: str


@dataclass
class Notes:
    """What is told besides the book itself."""

    decide: list[Open] = field(default_factory=list)
    contradictions: list[Open] = field(default_factory=list)

    def ask(self, place: str, text: str) -> None:
        """A person must decide this."""
        one = Open(place, text)
        if one not in self.decide:
            self.decide.append(one)

    def differ(self, place: str, text: str) -> None:
        """Two places say different things."""
        self.contradictions.append(Open(place, text))


def every_command(sources: list[Source]) -> Iterator[tuple[Source, Command]]:
    """The commands of all manuals."""
    for source in sources:
        for command in source.commands:
            yield source, command
