"""The SQL of a manual: statements of SQL blocks and those that commands carry, with their parse trees."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from opsbook.manual.document import Document, Fence
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.rule import Place

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of statements that it keeps as text

_STRIP = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)
_PIECE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/|;|\\gexec|\\gx?\b", re.S)
_SHELL = re.compile(
    r"\$\{[^}]*\}|\$\([^)]*\)|\$\w+|\{\{[^}]*\}\}|(?<![\w:]):\w+\b|(?<!\w):'\w+'|<[a-z][\w -]*>|%\(\w+\)s"
)

STAND_IN = "x"
"""What stands in the parse tree for a value that the shell or a person fills in."""


@dataclass(frozen=True)
class Statement:
    """One SQL statement. `text` has no comments before it; `at` leads to the file."""

    text: str
    locate: Callable[[int], tuple[int, int]]
    dialect: str
    fence: Fence | None = None
    step: Step | None = None
    comment: str = ""
    section_path: tuple[str, ...] = ()

    @cached_property
    def bare(self) -> str:
        """The text without comments, blanks as one space."""
        return re.sub(r"\s+", " ", _STRIP.sub(" ", self.text)).strip()

    @cached_property
    def upper(self) -> str:
        """The bare text in capitals."""
        return self.bare.upper()

    @property
    def line(self) -> int:
        return self.locate(0)[0]

    @property
    def place(self) -> Place:
        """The first line of the statement."""
        return Place(*self.locate(0))

    def find(self, pattern: str) -> Place:
        """The place of the first match of a pattern, else the statement's own."""
        found = re.search(pattern, self.text, re.I)
        if not found:
            return self.place
        line, column = self.locate(found.start())
        end_line, end_column = self.locate(found.end())
        return Place(line, column, end_column if end_line == line else 0)

    @cached_property
    def tree(self) -> exp.Expression | None:
        """The parse tree, or None where the parser could not read it."""
        text = _SHELL.sub(STAND_IN, self.bare)
        if not text or text.startswith("\\"):
            return None
        try:
            tree = sqlglot.parse_one(text, read=self.dialect)
        except (SqlglotError, RecursionError, ValueError):
            return None
        return tree if isinstance(tree, exp.Expression) else None

    @cached_property
    def is_templated(self) -> bool:
        """Whether values are filled in by the shell or a person."""
        return bool(_SHELL.search(self.bare)) or "..." in self.bare


def statements(document: Document, steps: Iterator[Step]) -> tuple[Statement, ...]:
    """Every statement in the order of the file."""
    found: list[Statement] = []
    for fence in document.fences():
        if fence.language == "sql":
            found += _split(fence.text, fence.at, dialect_of(fence.tag, fence.text), fence, None, fence.section_path)
        elif fence.language == "python":
            found += _of_program(fence)
    for step in steps:
        for piece in step.command.embedded:
            if piece.language == "sql":
                dialect = "mysql" if piece.client in ("mysql", "mariadb", "mysqladmin") else "postgres"
                dialect = "sqlite" if piece.client in ("sqlite3", "sqlite") else dialect
                dialect = "" if piece.client in ("sqlcmd", "sqlplus", "clickhouse-client", "cqlsh") else dialect
                found += _split(piece.text, piece.at, dialect, None, step, step.block.section_path)
    found.sort(key=lambda statement: statement.line)
    return tuple(found)


TAGS = {"mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite", "tsql": "", "plsql": "", "cql": "", "clickhouse": ""}
"""Dialect by the tag of a fence; empty where no grammar is at hand."""
SPOKEN_BY = (
    # What only one server says; a block of such statements is not PostgreSQL's, whatever its tag.
    ("mysql", re.compile(
        r"\b(?:ANALYZE|OPTIMIZE|REPAIR|CHECK)\s+TABLE\b|\bSHOW\s+(?:FULL\s+|GLOBAL\s+)?(?:TABLES|DATABASES|PROCESSLIST|VARIABLES"
        r"|STATUS|ENGINE|MASTER|SLAVE|REPLICA|BINARY|INDEX|CREATE)\b|\bDATE_(?:SUB|ADD)\s*\(|\bmysql\.\w|\bENGINE\s*="
        r"|\bSET\s+GLOBAL\b|\bINTERVAL\s+\d+\s+[A-Z]|`\w+`|\bFLUSH\s+(?:PRIVILEGES|TABLES|LOGS)\b", re.I)),
    ("", re.compile(
        r"^\s*GO\s*$|\bSELECT\s+TOP\b|\bGETDATE\s*\(|\bsys\.dm_|\[dbo\]|\bDBCC\b|\bFROM\s+dual\b|\bv\$\w+"
        r"|\bsystem\.(?:parts|merges|query_log|replicas)\b|\bSYSDATE\b", re.I | re.M)),
)  # fmt: skip


def dialect_of(tag: str, text: str) -> str:
    """Whose SQL a block holds: PostgreSQL's unless it says otherwise; empty where it is nobody's that can be parsed."""
    if tag in TAGS:
        return TAGS[tag]
    return next((name for name, words in SPOKEN_BY if words.search(text)), "postgres")


_LITERAL = re.compile(
    r"(?P<mark>\"\"\"|''')(?P<long>.*?)(?P=mark)|(?:execute|text|read_sql|fetch\w*)\(\s*(?P<quote>[\"'])(?P<short>[^\n]*?)(?P=quote)",
    re.S,
)


def _of_program(fence: Fence) -> Iterator[Statement]:
    """The SQL in string literals of a Python block that passes them to execute() and the like."""
    if not re.search(r"execute\(|read_sql|fetch(?:all|one|val|row)?\(|psycopg|asyncpg|sqlalchemy", fence.text):
        return
    for match in _LITERAL.finditer(fence.text):
        group = "long" if match["long"] is not None else "short"
        text, start = match[group], match.start(group)
        if (
            re.match(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|ALTER|CREATE|DROP|VACUUM|REINDEX|WITH)\b", text, re.I)
            and "{" not in text
        ):

            def at(offset: int, start: int = start) -> tuple[int, int]:
                return fence.at(start + offset)

            yield from _split(text, at, "postgres", fence, None, fence.section_path)


def _split(
    text: str,
    locate: Callable[[int], tuple[int, int]],
    dialect: str,
    fence: Fence | None,
    step: Step | None,
    path: tuple[str, ...],
) -> list[Statement]:
    found, start = [], 0
    ends = [m.end() for m in _PIECE.finditer(text) if m[0] == ";" or m[0].startswith("\\g")]
    for end in [*ends, len(text)]:
        part = text[start:end]
        lead = re.match(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|\\\w+[^\n]*(?:\n|$)|#[^\n]*(?:\n|$))*", part, re.S)
        skip = lead.end() if lead else 0
        body = part[skip:].rstrip().rstrip(";")
        trailing = re.match(r"[ \t]*--([^\n]*)", text[end:])
        if body.strip():
            offset = start + skip

            def at(position: int, offset: int = offset) -> tuple[int, int]:
                return locate(offset + position)

            comment = " ".join(re.findall(r"(?:--|#)\s*([^\n]*)", lead[0] if lead else ""))
            if trailing:
                comment = f"{comment} {trailing[1]}".strip()
            found.append(Statement(body, at, dialect, fence, step, comment, path))
        start = end
    return found
