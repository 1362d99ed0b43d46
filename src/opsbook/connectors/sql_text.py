"""SQL as text, by PostgreSQL's lexical rules: what is code, what is quoted, and where a statement ends.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html. `standard_conforming_strings` is taken to be on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Lexeme(StrEnum):
    """What a piece of SQL text is."""

    CODE = "code"
    STRING = "a quoted string"
    IDENTIFIER = "a quoted identifier"
    DOLLAR = "a dollar-quoted string"
    COMMENT = "a comment"


@dataclass(frozen=True)
class Span:
    """A piece of one kind. `closed` is False where the text ends inside it."""

    kind: Lexeme
    start: int
    end: int
    closed: bool = True


_OPENING = re.compile(
    r"""--|/\*|'|"|\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$|[A-Za-z_\x80-\U0010ffff][\w$]*|\d+"""
)
_WORD = re.compile(r"[A-Za-z_][\w$]*|;|\(|\)")

OUTSIDE_TRANSACTION: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern)
    for pattern in (
        r"VACUUM\b", r"CREATE (UNIQUE )?INDEX CONCURRENTLY\b", r"DROP INDEX CONCURRENTLY\b",
        r"REINDEX\b.*\bCONCURRENTLY\b", r"REINDEX (\( .* \) )?(DATABASE|SYSTEM|SCHEMA)\b", r"ALTER SYSTEM\b",
        r"(CREATE|DROP) (DATABASE|TABLESPACE)\b", r"CLUSTER( VERBOSE)?$", r"(CREATE|DROP|ALTER) SUBSCRIPTION\b",
        r"ALTER TABLE\b.*\bDETACH PARTITION\b.*\bCONCURRENTLY\b", r"ALTER DATABASE\b.*\bSET TABLESPACE\b",
    )
)  # fmt: skip
"""Statements that PostgreSQL refuses inside a transaction block, by their first words."""

CONTROLS_TRANSACTION = re.compile(
    r"(BEGIN|START TRANSACTION|COMMIT|END|ROLLBACK(?! TO\b)|ABORT|PREPARE TRANSACTION|SET (LOCAL |SESSION )?TRANSACTION"
    r"|SET SESSION (CHARACTERISTICS|AUTHORIZATION)|(SET|RESET) (LOCAL |SESSION )?(DEFAULT_)?TRANSACTION_READ_ONLY"
    r"|RESET ALL|DISCARD)\b"
)
READS = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "SHOW", "EXPLAIN"})
"""First words of statements that may only read; PostgreSQL itself then holds them to it."""
BINDS = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE", "EXPLAIN", "CALL"})
"""First words of statements in which PostgreSQL takes parameters; it takes none in the others."""


def spans(text: str) -> Iterator[Span]:
    """The text from its beginning to its end, piece by piece."""
    at = code = 0
    while match := _OPENING.search(text, at):
        kind, end, closed = _quoted(text, match)
        if kind is Lexeme.CODE:
            at = end
            continue
        if code < match.start():
            yield Span(Lexeme.CODE, code, match.start())
        yield Span(kind, match.start(), end, closed)
        at = code = end
    if code < len(text):
        yield Span(Lexeme.CODE, code, len(text))


def split_statements(text: str) -> list[tuple[int, int]]:
    """Start and end of each statement, without its semicolon; pieces of blanks and comments alone are left out."""
    found, start, depth, blocks = [], 0, 0, 0
    filled = False
    before = ""
    for span in spans(text):
        if span.kind is not Lexeme.CODE:
            filled = filled or span.kind is not Lexeme.COMMENT
            continue
        at = span.start
        for match in _WORD.finditer(text, span.start, span.end):
            filled = filled or bool(text[at : match.start()].strip())
            at, word = match.end(), match[0].upper()
            if word == ";" and depth <= 0 and blocks <= 0:
                if filled:
                    found.append((start, match.start()))
                start, filled, depth, before = match.end(), False, 0, ""
                continue
            filled = True
            depth += {"(": 1, ")": -1}.get(word, 0)
            # BEGIN ATOMIC … END of an SQL function holds semicolons of its own.
            if (word == "ATOMIC" and before == "BEGIN") or (blocks and word == "CASE"):
                blocks += 1
            elif blocks and word == "END":
                blocks -= 1
            before = word
        filled = filled or bool(text[at : span.end].strip())
    if filled:
        found.append((start, len(text)))
    return [_trimmed(text, start, end) for start, end in found]


def head(statement: str, words: int = 40) -> str:
    """The first words of a statement in capitals, without comments and quoted parts: what it does."""
    found: list[str] = []
    for span in spans(statement):
        if span.kind is Lexeme.CODE:
            found += re.findall(r"[A-Za-z_]\w*|[()]", statement[span.start : span.end].upper())
        elif span.kind is not Lexeme.COMMENT:
            found.append("?")
        if len(found) > words:
            break
    return " ".join(found[:words])


def outside_transaction(statement: str) -> bool:
    """Whether PostgreSQL runs it only outside a transaction block."""
    words = head(statement)
    return any(pattern.match(words) for pattern in OUTSIDE_TRANSACTION)


def controls_transaction(statement: str) -> str:
    """The words by which it would begin, end or change a transaction; empty where it does not."""
    found = CONTROLS_TRANSACTION.match(head(statement))
    return found[0] if found else ""


def only_reads(statement: str) -> bool:
    """Whether it begins like a statement that reads. PostgreSQL's read-only transaction decides in the end."""
    return head(statement, 1) in READS or head(statement, 2).startswith("( ")


def takes_parameters(statement: str) -> bool:
    """Whether PostgreSQL binds values in it."""
    return head(statement, 1) in BINDS or head(statement, 1) == "("


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - (len(piece) - len(piece.rstrip()))


def _quoted(text: str, match: re.Match[str]) -> tuple[Lexeme, int, bool]:
    opening, start = match[0], match.start()
    if opening == "--":
        end = text.find("\n", start)
        return Lexeme.COMMENT, len(text) if end < 0 else end, True
    if opening == "/*":
        return _block_comment(text, start)
    if opening == "'":
        escapes = start > 0 and text[start - 1] in "eE" and not re.match(r"[\w$]", text[start - 2 : start - 1])
        return (Lexeme.STRING, *_until(text, start, "'", escapes))
    if opening == '"':
        return (Lexeme.IDENTIFIER, *_until(text, start, '"', False))
    if opening.startswith("$"):
        end = text.find(opening, match.end())
        return (Lexeme.DOLLAR, len(text), False) if end < 0 else (Lexeme.DOLLAR, end + len(opening), True)
    return Lexeme.CODE, match.end(), True


def _block_comment(text: str, start: int) -> tuple[Lexeme, int, bool]:
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return Lexeme.COMMENT, match.end(), True
    return Lexeme.COMMENT, len(text), False


def _until(text: str, start: int, quote: str, escapes: bool) -> tuple[int, bool]:
    at = start + 1
    while at < len(text):
        if escapes and text[at] == "\\":
            at += 2
        elif text[at] != quote:
            at += 1
        elif text.startswith(quote * 2, at):
            at += 2
        else:
            return at + 1, True
    return len(text), False


def yields_rows(statement: str) -> bool:
    """Whether it answers with rows: a query, or a change that says RETURNING."""
    depth, words = 0, []
    for span in spans(statement):
        if span.kind is Lexeme.CODE:
            for match in re.finditer(r"[A-Za-z_]\w*|[()]", statement[span.start : span.end]):
                word = match[0].upper()
                depth += {"(": 1, ")": -1}.get(word, 0)
                if depth == 0 and word != ")":
                    words.append(word)
    if not words:
        return statement.lstrip().startswith("(")
    verbs = ("SELECT", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE")
    verb = words[0] if words[0] != "WITH" else next((word for word in words if word in verbs), "SELECT")
    if verb in ("INSERT", "UPDATE", "DELETE", "MERGE"):
        return "RETURNING" in words
    return verb in ("SHOW", "EXPLAIN", "VALUES", "TABLE") or (verb == "SELECT" and "INTO" not in words)
