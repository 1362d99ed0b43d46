"""Values in SQL: bound parameters, and names of the database only through the filter `ident`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opsbook.connectors.sql_text import (
    Lexeme,
    controls_transaction,
    head,
    only_reads,
    outside_transaction,
    spans,
    split_statements,
    takes_parameters,
)
from opsbook.engine.expressions import ExpressionError, Identifier, Secret, evaluate
from opsbook.engine.mistakes import TextMistake
from opsbook.engine.templates import Template, templates

LARGEST_VALUE = 10_000_000
"""Characters of one bound value."""

OUTSIDE = {
    Lexeme.STRING: "write it without the quotes; a value is bound, with a cast where it needs one: {{ age }}::interval",
    Lexeme.IDENTIFIER: "write it without the quotes, as a name: {{ table | ident }}",
    Lexeme.DOLLAR: "write it outside, where it can be bound; a DO block takes no values",
    Lexeme.COMMENT: "take it out of the comment",
}
"""Where a value cannot stand → the next step."""


def compile_statements(text: str, write: bool) -> tuple[list[str], list[TextMistake]]:
    """The statements of a fence, with their templates, and everything that is wrong. Raises UnclosedTemplate."""
    masked = _masked(text)
    found = split_statements(masked)
    mistakes = _misplaced(text, masked)
    if not found:
        mistakes.append(TextMistake(0, 1, "there is no statement here", "write one, or remove the fence"))
    for start, end in found:
        mistakes += _unfit(text[start:end], masked[start:end], start, write)
    outside = [(start, end) for start, end in found if outside_transaction(masked[start:end])]
    if outside and len(found) > 1:
        start, end = outside[0]
        mistakes.append(
            TextMistake(
                start, _first_line(masked, start, end), f"{_words(masked[start:end])} cannot run in a transaction",
                "give it a fence of its own: the statements of one fence are one transaction",
            )
        )  # fmt: skip
    return [text[start:end] for start, end in found], mistakes


def fill_statements(statements: list[str], names: Mapping[str, Any]) -> dict[str, Any]:
    """The statements with `%(p1)s` for their values, the values, and the references of secret ones.

    Raises ExpressionError for a value that cannot be bound.
    """
    cut = [templates(statement) for statement in statements]
    values: dict[str, tuple[str, Any]] = {}
    for piece in [piece for pieces in cut for piece in pieces if isinstance(piece, Template)]:
        if piece.expression not in values:
            values[piece.expression] = (f"p{len(values) + 1}", evaluate(piece.expression, names))
    bound = {name: value for name, value in values.values() if not isinstance(value, Identifier)}
    for expression, (_, value) in values.items():
        if reason := unbindable(value):
            raise ExpressionError(f"{{{{ {expression} }}}} {reason[0]}", reason[1])

    from psycopg import sql  # a tenth of a second, which only filling a statement needs

    def shown(piece: str | Template) -> str:
        if isinstance(piece, Template):
            name, value = values[piece.expression]
            text = sql.Identifier(*value.parts).as_string(None) if isinstance(value, Identifier) else None
            if text is None:
                return f"%({name})s"
        else:
            text = piece
        # psycopg reads `%` only where there are parameters.
        return text.replace("%", "%%") if bound else text

    return {
        "statement": ["".join(map(shown, pieces)) for pieces in cut],
        "parameters": {name: value for name, value in bound.items() if not isinstance(value, Secret)},
        "secrets": {name: value.reference for name, value in bound.items() if isinstance(value, Secret)},
    }


def unbindable(value: Any) -> tuple[str, str] | None:
    """Why PostgreSQL cannot take a value; None where it can."""
    if isinstance(value, str):
        if "\0" in value:
            return "holds a NUL character, which PostgreSQL cannot store in text", "remove it from the value"
        if len(value) > LARGEST_VALUE:
            return f"has {len(value):,} characters", f"at most {LARGEST_VALUE:,} are bound; load a file instead"
        try:
            value.encode()
        except UnicodeEncodeError:
            return "is not valid text (a lone surrogate)", "give it as UTF-8"
    elif isinstance(value, list):
        return next((reason for one in value if (reason := unbindable(one))), None)
    elif isinstance(value, dict):
        return next((reason for pair in value.items() for one in pair if (reason := unbindable(one))), None)
    return None


def _masked(text: str) -> str:
    """The text with a word of the same length for every template, so that places stay true."""
    masked, at = "", 0
    for piece in templates(text):
        if isinstance(piece, Template):
            gap = text[at : piece.start]
            masked += gap + "v" * (piece.end - piece.start)
            at = piece.end
    return masked + text[at:]


def _misplaced(text: str, masked: str) -> list[TextMistake]:
    places = [piece for piece in templates(text) if isinstance(piece, Template)]
    mistakes = []
    for span in spans(masked):
        if not span.closed:
            mistakes.append(TextMistake(span.start, 1, f"{span.kind} is opened here and never closed", "close it"))
        if span.kind is Lexeme.CODE:
            continue
        for place in places:
            if span.start < place.start < span.end:
                message = f"a value cannot stand in {span.kind}"
                mistakes.append(TextMistake(place.start, place.end - place.start, message, OUTSIDE[span.kind]))
    return mistakes


def _unfit(statement: str, masked: str, start: int, write: bool) -> list[TextMistake]:
    length = _first_line(masked, 0, len(masked))
    if words := controls_transaction(masked):
        return [TextMistake(start, length, f"{words} is not for a procedure: opsbook opens and ends the transaction",
                              "remove it; the statements of one fence are one transaction")]  # fmt: skip
    if not write and not only_reads(masked):
        return [TextMistake(start, length, f"{_words(masked)} changes the database, and this fence only reads",
                              "mark the fence `write`")]  # fmt: skip
    if takes_parameters(masked):
        return []
    return [
        TextMistake(
            start + piece.start, piece.end - piece.start, f"PostgreSQL binds no values in {_words(masked)}",
            "a name is written {{ name | ident }}; for settings use SELECT set_config(…), or an operation",
        )
        for piece in templates(statement)
        if isinstance(piece, Template) and not _is_identifier(piece)
    ]  # fmt: skip


def _is_identifier(piece: Template) -> bool:
    return piece.expression.replace(" ", "").endswith("|ident")


def _words(statement: str) -> str:
    return head(statement, 2).removesuffix(" ?").removesuffix(" (") or "this"


def _first_line(text: str, start: int, end: int) -> int:
    return len(text[start:end].partition("\n")[0])
