"""The commands of a manual in order, each with its block and what its tool makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from opsbook.manual.document import Document, Fence
from opsbook.manual.grammar import Invocation, invocation
from opsbook.manual.grammar.invocation import spoken
from opsbook.manual.lint.facts.crontab import jobs
from opsbook.manual.lint.facts.tags import TAGGED
from opsbook.manual.lint.rule import Place
from opsbook.manual.shell import Command, Word, commands
from opsbook.manual.tools import COMMANDS


@dataclass(frozen=True)
class Step:
    """One command, at any depth. `outer` is the command that carries it (`kubectl exec …`), `index` its order."""

    command: Command
    block: ShellBlock
    index: int
    outer: Step | None = None

    @cached_property
    def call(self) -> Invocation | None:
        """How the tool reads it."""
        return invocation(self.command)

    @property
    def program(self) -> str:
        return self.command.program

    @property
    def words(self) -> tuple[str, ...]:
        return self.command.words

    @property
    def place(self) -> Place:
        """The whole command on its first line."""
        return Place(self.command.line, self.command.column)

    @property
    def comment(self) -> str:
        """The comment above it and the one behind it."""
        return f"{self.command.comment} {self.command.trailing_comment}".strip()

    @property
    def outermost(self) -> Step:
        """The command of the block that this one runs in."""
        return self if self.outer is None else self.outer.outermost

    @property
    def remote(self) -> bool:
        """Whether it runs in another host, pod or container."""
        return self.command.remote

    @property
    def container(self) -> Step | None:
        """The carrier that takes it into a container, if there is one."""
        at = self.outer
        while at is not None:
            if at.program in ("kubectl", "oc", "docker", "docker-compose", "podman", "podman-compose"):
                return at
            at = at.outer
        return None

    def at(self, word: Word) -> Place:
        """The place of one of its words."""
        end = word.end_column if word.end_line == word.line else 0
        return Place(word.line, word.column, end)


@dataclass(frozen=True)
class ShellBlock:
    """A shell fence, or inline code that is a command."""

    fence: Fence | None
    line: int
    end_line: int
    section_path: tuple[str, ...]
    text: str
    found: tuple[Command, ...]
    number: int

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Every command, carried ones behind their carrier."""
        gathered: list[Step] = []

        def take(command: Command, outer: Step | None) -> None:
            step = Step(command, self, len(gathered), outer)
            gathered.append(step)
            for inner in command.nested:
                take(inner, step)

        for command in self.found:
            take(command, None)
        return tuple(gathered)

    @property
    def top(self) -> tuple[Step, ...]:
        """The commands of the block itself."""
        return tuple(step for step in self.steps if step.outer is None)

    @cached_property
    def strict(self) -> bool:
        """Whether the block stops at the first error (`set -e`)."""
        for step in self.top:
            if step.program == "set" and any(re.match(r"-\w*e", w) or w == "errexit" for w in step.words[1:]):
                return True
        return bool(re.match(r"#!\S+.*\s-\w*e", self.text))

    @cached_property
    def pipefail(self) -> bool:
        """Whether a failure at the head of a pipeline counts."""
        return any(step.program == "set" and "pipefail" in step.words for step in self.top)

    def after(self, step: Step) -> tuple[Step, ...]:
        """The steps behind one."""
        return self.steps[step.index + 1 :]

    def before(self, step: Step) -> tuple[Step, ...]:
        """The steps ahead of one."""
        return self.steps[: step.index]

    def pipeline(self, step: Step) -> tuple[Step, ...]:
        """All commands of the pipeline that a step of the block itself stands in."""
        outer = step.outermost
        return tuple(other for other in self.top if other.command.pipeline == outer.command.pipeline)


# The user that a line of /etc/cron.d names ahead of its command.
_CRON_USER = re.compile(r"^(?:root|www-data|postgres|ubuntu|deploy|app|nobody|git)\s+(?=\S)")


def shell_blocks(document: Document) -> tuple[ShellBlock, ...]:
    """Every shell fence, inline command and job of a crontab, in the order of the file."""
    pieces: list[tuple[int, ShellBlock]] = []
    for block in document.walk():
        if isinstance(block, Fence) and (block.language in ("bash", "console") or _runs_with_variables(block)):
            found = tuple(commands(block.text, block.line, block.columns, console=block.language == "console" or None))
            piece = ShellBlock(block, block.line, block.end_line, block.section_path, block.text, found, 0)
            pieces.append((block.line, piece))
    for block in document.walk():
        for span in getattr(block, "code", ()):
            if _is_command(span.text):
                found = tuple(commands(span.text, span.line, span.column, console=False))
                piece = ShellBlock(None, span.line, span.line, block.section_path, span.text, found, 0)
                pieces.append((span.line, piece))
    for job in jobs(document):
        fence = next((f for f in document.fences() if f.line <= job.line <= f.end_line), None)
        if fence is not None and fence.language == "crontab" and not job.commented and not job.fault:
            command = _CRON_USER.sub("", job.command)
            column = document.lines[job.line - 1].find(command) + 1
            found = tuple(commands(command, job.line, column, console=False))
            pieces.append((job.line, ShellBlock(None, job.line, job.line, fence.section_path, command, found, 0)))
    pieces.sort(key=lambda pair: pair[0])
    return tuple(
        ShellBlock(p.fence, p.line, p.end_line, p.section_path, p.text, p.found, number)
        for number, (_, p) in enumerate(pieces)
    )


def all_steps(blocks: tuple[ShellBlock, ...]) -> Iterator[Step]:
    """The steps of all blocks."""
    for block in blocks:
        yield from block.steps


def _runs_with_variables(fence: Fence) -> bool:
    """Whether a shell block that looks like variables runs a program with them: `PGHOST=db psql …`."""
    shell = fence.language == "env" and TAGGED.get(fence.tag.lower()) == "shell"
    return shell and bool(re.search(r"(?m)^\s*[A-Z_]+=\S+\s+[a-z][\w-]+\s", fence.text))


_INLINE = frozenset(
    [
        "kubectl",
        "docker",
        "docker-compose",
        "helm",
        "psql",
        "pg_dump",
        "pg_restore",
        "redis-cli",
        "systemctl",
        "journalctl",
        "aws",
        "curl",
        "terraform",
        "alembic",
        "celery",
        "npm",
        "git",
        "openssl",
        "mysql",
        "mysqldump",
        "go",
        "pip",
        "sudo",
    ]
)


def _is_command(text: str) -> bool:
    words = text.split()
    return len(words) >= 3 and words[0] in _INLINE and words[0] in COMMANDS and "…" not in text and "..." not in text


def word_text(word: Word) -> str:
    """What a program gets as this word, expansions left as written."""
    return spoken(word)
