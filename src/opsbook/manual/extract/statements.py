"""The commands and statements of code blocks: shell by its grammar, SQL statement by statement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from opsbook.manual.danger import sql_destructive, why_destructive
from opsbook.manual.document import CodeSpan, Fence
from opsbook.manual.facts import CommandLine
from opsbook.manual.language import first_word
from opsbook.manual.shell import Command, commands, variables_of, walk_commands
from opsbook.manual.tools import COMMANDS

# Programs that set the scene and do nothing to a system.
_SCENERY = frozenset(
    {
        "echo",
        "printf",
        "cd",
        "set",
        "export",
        "alias",
        "source",
        ".",
        "true",
        "exit",
        "read",
        "local",
        "declare",
        "unset",
        "sleep",
        "wait",
        "return",
        "shift",
        "trap",
        "clear",
        "[",
        "[[",
        "test",
    }
)
_OTHER_SHELLS = frozenset({"powershell", "pwsh", "ps1", "batch", "bat", "cmd", "dosbatch", "fish"})


@dataclass(frozen=True)
class Block:
    """What a fence runs: its commands, the numbered comments that divide it, and the variables it leaves behind."""

    fence: Fence
    commands: tuple[CommandLine, ...]
    numbered: tuple[tuple[int, str], ...]
    parsed: tuple[Command, ...]
    variables: Mapping[str, str]

    @property
    def runnable(self) -> bool:
        return bool(self.commands) or len(self.numbered) >= 2 or self._foreign

    @property
    def _foreign(self) -> bool:
        """A shell that is not read here is run all the same."""
        lines = (line.strip() for line in self.fence.text.split("\n"))
        return self.fence.language in _OTHER_SHELLS and any(line and line[0] not in "#:" for line in lines)


def read_block(fence: Fence, variables: Mapping[str, str] | None = None) -> Block:
    """Read a fence of shell or SQL; any other language has no commands."""
    return _read(fence, tuple(sorted((variables or {}).items())))


# Several kinds of facts are read from the same block.
@lru_cache(maxsize=1024)
def _read(fence: Fence, variables: tuple[tuple[str, str], ...]) -> Block:
    known = dict(variables)
    if fence.language in ("bash", "console"):
        found = commands(
            fence.text,
            fence.line,
            fence.columns,
            variables=known,
            console=True if fence.language == "console" else None,
        )
        return Block(fence, _shell_lines(found), _numbered(fence), tuple(found), variables_of(found, known))
    if fence.language == "sql":
        return Block(fence, tuple(sql_lines(fence.text, fence.line)), _numbered(fence), (), known)
    return Block(fence, (), (), (), known)


def _shell_lines(found: list[Command]) -> tuple[CommandLine, ...]:
    lines: list[CommandLine] = []
    pipeline: list[Command] = []
    recreates = any(
        each.program in ("docker", "docker-compose", "podman") and {"pull", "build"} & set(each.words)
        for each in walk_commands(found)
    )
    for command in found:
        if pipeline and pipeline[-1].pipeline != command.pipeline:
            pipeline = []
        why = why_destructive(command, pipeline)
        if not why and recreates and _brings_up(command):
            why = "replaces containers"
        pipeline.append(command)
        inside = any(each.kind == "substitution" for each in command.within)
        boxed = command.text.startswith(("[", "□", "☐", "☑", "✓", "✅"))
        if (command.program in _SCENERY or not command.argv or inside or boxed) and not why:
            continue
        if command.position and lines and lines[-1].line == pipeline[0].line:
            if why and not lines[-1].destructive:
                last = lines[-1]
                lines[-1] = CommandLine(
                    line=last.line, text=last.text, language=last.language, comment=last.comment, destructive=why
                )
            continue
        lines.append(
            CommandLine(line=command.line, text=command.text, language="bash", comment=command.comment, destructive=why)
        )
    return tuple(lines)


def _brings_up(command: Command) -> bool:
    for each in command.walk():
        line = " ".join(each.words)
        if each.program.startswith(("docker", "podman")) and re.search(r"compose\b.*\bup\b", line):
            return "--scale" not in line
    return False


def sql_lines(text: str, first_line: int) -> list[CommandLine]:
    """The statements of a text of SQL with the lines on which they begin; quotes, dollar quotes and comments are
    respected."""
    found: list[CommandLine] = []
    for start, end in _statements(text):
        body = text[start:end]
        lead = re.match(r"(?:\s+|--[^\n]*\n?|#[^\n]*\n?|/\*.*?\*/)*", body, re.S)
        skipped = lead.end() if lead else 0
        statement = body[skipped:].strip()
        if not statement or statement.startswith("\\echo"):
            continue
        comment = "\n".join(re.findall(r"(?:--|#)\s?([^\n]*)", body[:skipped]))
        line = first_line + text.count("\n", 0, start + skipped)
        found.append(
            CommandLine(
                line=line, text=statement, language="sql", comment=comment, destructive=sql_destructive(statement)
            )
        )
    return found


_SQL_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|(\$\w*\$).*?\1|;|^\s*\\[^\n]*\n?", re.S | re.M)


def _statements(text: str) -> list[tuple[int, int]]:
    found, start = [], 0
    for token in _SQL_TOKEN.finditer(text[:100_000]):
        if token[0] == ";" or token[0].lstrip().startswith("\\"):
            found.append((start, token.end()))
            start = token.end()
    if text[start:].strip():
        found.append((start, len(text)))
    return found


_NUMBER = re.compile(r"\s*(?:#|--)\s*(?:step\s+)?(\d+)\s*[.):]\s*(.+)", re.I)


def _numbered(fence: Fence) -> tuple[tuple[int, str], ...]:
    """Comments that number the steps of a block: `# 1. Stop the workers`."""
    found = []
    for index, line in enumerate(fence.text.split("\n")):
        match = _NUMBER.match(line)
        if match:
            found.append((fence.line + index, match[2].strip()))
    return tuple(found)


def inline_command(span: CodeSpan) -> CommandLine | None:
    """Inline code that is a command with arguments, not a name."""
    text = span.text.strip()
    if " " not in text and not text.startswith("./"):
        return None
    if first_word(text).rsplit("/", 1)[-1] not in COMMANDS and not text.startswith("./"):
        return None
    found = commands(text, span.line, span.column)
    if not found or not found[0].argv or found[0].program in _SCENERY:
        return None
    return CommandLine(line=span.line, text=text, language="bash", destructive=why_destructive(found[0]))
