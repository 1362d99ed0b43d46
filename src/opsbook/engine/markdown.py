"""The source of a procedure: front matter, fences, task items and the prose between them, each with its place.

Reading never fails; what cannot be a procedure is collected as mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from opsbook.book.positions import Located, Place, Unreadable, read_yaml
from opsbook.engine.attributes import Attribute, read_attributes
from opsbook.engine.mistakes import Mistakes
from opsbook.engine.procedure import StepKind
from opsbook.manual.document import read_document
from opsbook.manual.model import Block, Document, Fence, Heading, ListItem, Paragraph, Prose

LARGEST_FILE = 2**20
FENCES = frozenset({kind.value for kind in StepKind} - {StepKind.PERSON.value})
LOOKS_LIKE = {
    "bash": "sh", "shell": "sh", "console": "sh", "zsh": "sh", "postgresql": "sql", "psql": "sql", "pgsql": "sql",
    "promql ": "promql", "prometheus": "promql", "rest": "http", "operation": "op", "checks": "check",
}  # fmt: skip
"""Languages of fences that are prose, and the one that was meant where they carry attributes of a step."""
_SENTENCE = re.compile(r"(.+?[.!?:])(?=\s|$)", re.DOTALL)
_OPENING = re.compile(r"(?P<before>.*?)(?P<marks>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)(?P<rest>.*)$")


@dataclass(frozen=True)
class FenceSource:
    """A fence that is a step."""

    kind: StepKind
    title: str
    fence: Fence
    language_place: tuple[int, int]
    attributes: dict[str, Attribute]

    @property
    def text(self) -> str:
        return self.fence.text.removesuffix("\n")

    @property
    def line(self) -> int:
        return self.fence.opening_line

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column in the file of a character of the text."""
        if not self.text.strip():
            return self.language_place
        return self.fence.at(min(offset, max(len(self.text) - 1, 0)))

    def place_in(self, place: Place) -> tuple[int, int]:
        """Line and column in the file of a line and column of the text."""
        lines = self.text.split("\n")
        line = min(place.line, len(lines))
        return self.place(sum(len(one) + 1 for one in lines[: line - 1]) + place.column - 1)


@dataclass(frozen=True)
class TasksSource:
    """Neighbouring task items: acts that a person does."""

    title: str
    line: int
    items: tuple[str, ...]


@dataclass
class Source:
    """A procedure as it is written."""

    lines: Sequence[str]
    front: Located
    steps: list[FenceSource | TasksSource] = field(default_factory=list)
    prose: str = ""
    """What stands before the first step, for people."""


def read_source(text: str, mistakes: Mistakes) -> Source:
    """Cut a file into what compiling needs."""
    document = read_document(text, mistakes.file)
    mistakes.lines = document.lines
    source = Source(document.lines, _front_matter(document, mistakes))
    _Walk(document, source, mistakes).through(document.blocks)
    return source


def first_sentence(text: str) -> str:
    """The first sentence of a paragraph, on one line, without its final mark."""
    plain = " ".join(text.split())
    found = _SENTENCE.match(plain)
    return (found[1] if found else plain).rstrip(".:").strip()


def _front_matter(document: Document, mistakes: Mistakes) -> Located:
    written = document.front_matter or _between_marks(document.lines, mistakes)
    if not written:
        return Located({})
    try:
        # One line more before it, so that its lines are those of the file.
        located = read_yaml("\n" + written, mistakes.file)
    except Unreadable as error:
        for problem in error.problems:
            mistakes.add((problem.place.line, problem.place.column), problem.message, problem.hint)
        located = error.located or Located({})
    if not isinstance(located.data, dict):
        mistakes.add((2, 1), "the front matter is a mapping of keys", "write `title: …`")
        return Located({})
    return located


def _between_marks(lines: Sequence[str], mistakes: Mistakes) -> str:
    """What stands where the front matter should, of a file in which nothing looks like one. Empty after a mistake."""
    if not lines or lines[0].rstrip() != "---":
        mistakes.add((1, 1), "the front matter is missing", "begin the file with `---`, `title: …`, `---`")
        return ""
    end = next((n for n, line in enumerate(lines[1:], start=1) if line.rstrip() in ("---", "...")), None)
    if end is None:
        mistakes.add((1, 1), "the front matter begins here and does not end", "write `---` after its last line")
        return ""
    written = "\n".join(lines[1:end])
    if not written.strip():
        mistakes.add((1, 1), "the front matter is empty", "write `title: …` between the two `---`")
    return written if written.strip() else ""


class _Walk:
    """Goes through the blocks in order and keeps the prose that a next step is named for."""

    def __init__(self, document: Document, source: Source, mistakes: Mistakes) -> None:
        self.document, self.source, self.mistakes = document, source, mistakes
        self.heading, self.before, self.title = "", "", ""
        self.introduction: list[str] = []

    def through(self, blocks: Sequence[Block]) -> None:
        tasks: list[ListItem] = []
        for block in blocks:
            follows = isinstance(block, ListItem) and block.checked is not None
            if tasks and not (follows and isinstance(block, ListItem) and block.list_line == tasks[0].list_line):
                self._tasks(tasks)
                tasks = []
            if isinstance(block, ListItem) and block.checked is not None:
                tasks.append(block)
                if block.children:
                    self._tasks(tasks)
                    tasks = []
                    self.through(block.children)
            else:
                self._block(block)
        if tasks:
            self._tasks(tasks)
        self.source.prose = "\n\n".join(self.introduction)

    def _block(self, block: Block) -> None:
        if isinstance(block, Fence):
            self._fence(block)
        elif isinstance(block, Heading):
            self.heading, self.before, self.title = block.text, "", ""
        elif isinstance(block, ListItem):
            if block.text.strip():
                self._prose(block)
            self.through(block.children)
        elif isinstance(block, Paragraph):
            self._prose(block)

    def _prose(self, block: Prose) -> None:
        self.before = block.text
        if not self.source.steps:
            self.introduction.append(block.text)

    def _title(self) -> str:
        """Of the prose before; further fences below the same prose share it."""
        if self.before:
            self.title, self.before = first_sentence(self.before), ""
        return self.title or first_sentence(self.heading)

    def _tasks(self, tasks: Sequence[ListItem]) -> None:
        for task in tasks:
            if task.checked:
                self.mistakes.add(
                    (task.line, task.column),
                    "a task of a procedure is ticked already",
                    "write `- [ ]`; each run asks anew",
                )
        items = tuple(" ".join(task.text.split()) for task in tasks)
        own = self.before if len(tasks) > 1 else ""
        title = first_sentence(own or items[0])
        self.before = ""
        self.source.steps.append(TasksSource(title, tasks[0].line, items))

    def _fence(self, fence: Fence) -> None:
        line = self.document.lines[fence.opening_line - 1]
        found = _OPENING.match(line)
        if found is None:
            return
        language, place = found["language"], (fence.opening_line, found.start("language") + 1)
        if language not in FENCES:
            self._prose_fence(language, found["rest"], place)
            return
        if not fence.closed:
            self.mistakes.add(
                place, f"this {language} fence is never closed", "end it with ``` in its column", len(language)
            )
        attributes = read_attributes(
            found["rest"], (fence.opening_line, found.start("rest") + 1), StepKind(language), self.mistakes
        )
        self.source.steps.append(FenceSource(StepKind(language), self._title(), fence, place, attributes))

    def _prose_fence(self, language: str, rest: str, place: tuple[int, int]) -> None:
        """A fence of another language is prose; one with attributes of a step was meant to be one."""
        meant = LOOKS_LIKE.get(language.lower(), language.lower() if language.lower() in FENCES else "")
        if meant and (language != language.lower() or re.search(r"\w=|\bwrite\b", rest)):
            self.mistakes.add(
                place, f"a {language} fence is prose and never runs", f"write ```{meant} for a step", len(language)
            )
