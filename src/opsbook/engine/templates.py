"""Templates: texts of a procedure with `{{ expression }}` in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opsbook.engine.expressions import ExpressionError, Identifier, NotThere, Secret, constant_of, evaluate


@dataclass(frozen=True)
class Template:
    """`{{ expression }}` in a text, from `start` to `end`."""

    expression: str
    start: int
    end: int


class UnclosedTemplate(ExpressionError):
    """`{{` without `}}`; `offset` is where it stands."""

    def __init__(self, offset: int) -> None:
        super().__init__("`{{` is not closed", "close it with `}}`; where {{ is meant as text write {{ '{{' }}")
        self.offset = offset


def templates(text: str) -> tuple[str | Template, ...]:
    """A text cut into what stands there and what is filled in. Raises UnclosedTemplate.

    An expression that is a bare quoted text (`{{ '{{' }}`) stands there as that text.
    """
    pieces: list[str | Template] = []
    at = 0
    while (start := text.find("{{", at)) >= 0:
        end = _end_of_template(text, start)
        expression = text[start + 2 : end - 2].strip()
        constant = constant_of(expression)
        pieces += [text[at:start], constant if constant is not None else Template(expression, start, end)]
        at = end
    pieces.append(text[at:])
    return tuple(piece for piece in pieces if piece != "")


def quoted_texts(text: str) -> bool:
    """Whether it has templates that are a bare quoted text: what stands there is not what is written."""
    return sum(len(p) if isinstance(p, str) else p.end - p.start for p in templates(text)) != len(text)


def expressions_of(text: str) -> tuple[str, ...]:
    """The expressions of the templates of a text."""
    return tuple(piece.expression for piece in templates(text) if isinstance(piece, Template))


def fill_text(text: str, names: Mapping[str, Any]) -> Any:
    """A text with its templates filled in. One that is a single template as a whole keeps the type of its value."""
    pieces = templates(text.strip() if text.strip().startswith("{{") else text)
    if len(pieces) == 1 and isinstance(pieces[0], Template):
        return evaluate(pieces[0].expression, names)
    return "".join(
        text_of(evaluate(piece.expression, names), piece.expression) if isinstance(piece, Template) else piece
        for piece in pieces
    )


def text_of(value: Any, expression: str = "") -> str:
    """A value as it stands in a text: numbers and true/false as in JSON, lists and mappings as JSON.

    Raises ExpressionError for nothing at all and for secrets.
    """
    if isinstance(value, str):
        return value
    if value is None:
        raise NotThere(f"{{{{ {expression} }}}} has no value", "give it one, or a default: {{ name | default('…') }}")
    if isinstance(value, Secret | Identifier):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _end_of_template(text: str, start: int) -> int:
    position, quote, depth = start + 2, "", 0
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif text.startswith("}}", position) and depth == 0:
            return position + 2
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        position += 1
    raise UnclosedTemplate(start)
