"""Values in PromQL: escaped inside quotes, and only numbers and durations outside of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from opsbook.engine.expressions import ExpressionError, evaluate
from opsbook.engine.mistakes import TextMistake
from opsbook.engine.templates import Template, templates, text_of

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
DURATION = re.compile(r"(\d+(ms|s|m|h|d|w|y))+")


def compile_query(text: str) -> list[TextMistake]:
    """Everything that is wrong with the places of values in a query. Raises UnclosedTemplate."""
    if not text.strip():
        return [TextMistake(0, 1, "there is no query here", "write one, or remove the fence")]
    mistakes = []
    for template, quote in _places(text):
        if quote in ("`", "#"):
            where = "a raw string" if quote == "`" else "a comment"
            hint = "write double quotes, where it is escaped" if quote == "`" else "take it out of the comment"
            mistakes.append(
                TextMistake(template.start, template.end - template.start, f"a value cannot stand in {where}", hint)
            )
    return mistakes


def fill_query(text: str, names: Mapping[str, Any]) -> str:
    """The query with its values. Raises ExpressionError for one that would be read as a part of the query."""
    filled, at = "", 0
    for template, quote in _places(text):
        value = text_of(evaluate(template.expression, names), template.expression)
        if quote:
            value = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\0", "\\x00").replace(quote, "\\" + quote)
        elif not (NUMBER.fullmatch(value) or DURATION.fullmatch(value)):
            raise ExpressionError(
                f"{{{{ {template.expression} }}}} is neither a number nor a duration of Prometheus: {value[:60]!r}",
                'write text in quotes: {instance="{{ name }}"}',
            )
        filled += _literal(text[at : template.start]) + value
        at = template.end
    return filled + _literal(text[at:])


def _literal(text: str) -> str:
    return "".join(piece if isinstance(piece, str) else text[piece.start : piece.end] for piece in templates(text))


def _places(text: str) -> list[tuple[Template, str]]:
    """Each template with the quote in which it stands: `"`, `'`, a backquote, `#` for a comment, or none."""
    found, quote, at = [], "", 0
    places = {piece.start: piece for piece in templates(text) if isinstance(piece, Template)}
    while at < len(text):
        if at in places:
            found.append((places[at], quote))
            at = places[at].end
            continue
        character = text[at]
        if quote == "#":
            quote = "" if character == "\n" else quote
        elif quote:
            if character == "\\" and quote != "`":
                at += 1
            elif character == quote:
                quote = ""
        elif character in "\"'`#":
            quote = character
        at += 1
    return found
