"""What the shell text of a manual is made of. See shell.py for reading it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """One word of a command.

    `raw` is what the file holds. `text` is the word without its quoting, expansions left as written. `value` is the
    text where it is static, known variables filled in, else None. `placeholders` are the names in `<angle brackets>`
    and the like that a person must fill in; such a word still has a value. `segments` lead from `text` back to the
    file.
    """

    raw: str
    text: str
    value: str | None
    line: int
    column: int
    end_line: int
    end_column: int
    variables: tuple[str, ...] = ()
    substitutions: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()
    quote: str = ""
    glob: bool = False
    segments: tuple[tuple[int, int, int], ...] = ()

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column in the file of a character of `text`."""
        return place(self.text, self.segments or ((0, self.line, self.column),), offset)


@dataclass(frozen=True)
class Assignment:
    """`NAME=value`; `operator` is `=` or `+=`."""

    name: str
    value: Word
    line: int
    column: int
    exported: bool = False
    operator: str = "="


@dataclass(frozen=True)
class Redirect:
    """`2>> target`. `descriptor` is -1 where none is written."""

    operator: str
    target: Word
    descriptor: int
    line: int
    column: int


@dataclass(frozen=True)
class Heredoc:
    """A here-document or here-string: `text` begins at `line` and `column`.

    `expands` where the shell fills in variables.
    """

    text: str
    line: int
    column: int
    delimiter: str
    expands: bool
    variables: tuple[str, ...] = ()
    closed: bool = True
    segments: tuple[tuple[int, int, int], ...] = ()

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column in the file of a character of `text`."""
        return place(self.text, self.segments or ((0, self.line, self.column),), offset)


@dataclass(frozen=True)
class Enclosure:
    """What a command stands in: function, if, condition, loop, case, subshell, group, substitution."""

    kind: str
    name: str
    line: int


@dataclass(frozen=True)
class Embedded:
    """A piece of another language that a command carries.

    `language` is sql, python, json, promql, redis, javascript, lua …; `variables` are the shell's expansions left in
    it; `client` is the program that gets it, `quoted` tells that it came from single quotes or a literal heredoc.
    """

    language: str
    text: str
    line: int
    column: int
    client: str
    variables: tuple[str, ...] = ()
    segments: tuple[tuple[int, int, int], ...] = ()
    quoted: bool = False

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column in the file of a character of `text`."""
        return place(self.text, self.segments or ((0, self.line, self.column),), offset)


@dataclass(frozen=True)
class Command:
    """A simple command.

    `pipeline` numbers the pipelines of a block, `position` counts from 0 within one of `length`. `before` is the
    operator that joins it to the command before (`&&`, `||`, `;`, `&`, `|`, a newline as `;`, nothing for the first),
    `after` the one behind. `nested` are the programs it runs by itself (`kubectl exec … -- psql`: psql, with `via`
    naming the carriers, outermost first), `remote` tells that a nested program runs on another host, pod or
    container. A bare assignment has no words.
    """

    argv: tuple[Word, ...]
    line: int
    column: int
    end_line: int
    text: str
    assignments: tuple[Assignment, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    heredoc: Heredoc | None = None
    pipeline: int = 0
    position: int = 0
    length: int = 1
    before: str = ""
    after: str = ""
    background: bool = False
    negated: bool = False
    within: tuple[Enclosure, ...] = ()
    comment: str = ""
    comment_line: int = 0
    trailing_comment: str = ""
    nested: tuple[Command, ...] = ()
    embedded: tuple[Embedded, ...] = ()
    via: tuple[str, ...] = ()
    remote: bool = False

    @property
    def program(self) -> str:
        """The name of the program without its folder, empty for a bare assignment or a name not known."""
        if not self.argv:
            return ""
        return (self.argv[0].value or self.argv[0].text).rsplit("/", 1)[-1]

    @property
    def words(self) -> tuple[str, ...]:
        """The text of the words, static values filled in."""
        return tuple(word.value if word.value is not None else word.text for word in self.argv)

    def walk(self) -> Iterator[Command]:
        """This command and all that run inside it."""
        yield self
        for inner in self.nested:
            yield from inner.walk()


def place(text: str, segments: Sequence[tuple[int, int, int]], offset: int) -> tuple[int, int]:
    """The line and column of an offset, from the nearest segment at or before it."""
    start, line, column = segments[0]
    for candidate in segments:
        if candidate[0] > offset:
            break
        start, line, column = candidate
    newlines = text.count("\n", start, offset)
    if newlines:
        return line + newlines, offset - text.rfind("\n", 0, offset)
    return line, column + offset - start
