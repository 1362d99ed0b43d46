"""Whether a statement is SQL at all.

PostgreSQL's own parser (libpg_query) is used where a permissively licensed binding is installed; it is certain. sqlglot
accepts more and knows less, so without the binding only what it calls plainly broken is told.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from types import ModuleType

import sqlglot
from sqlglot.errors import ParseError, SqlglotError

_PLAIN = re.compile(r"Expecting \)|Expected table name|Required keyword|Unbalanced|Missing", re.I)
_COVERED = re.compile(r"(?:SELECT|WITH|INSERT|UPDATE|DELETE)\b", re.I)


@cache
def _parser() -> ModuleType | None:
    try:
        return importlib.import_module("postgast")
    except (ImportError, OSError):
        return None


def syntax_error(text: str, dialect: str) -> str:
    """The parser's message, or nothing."""
    parser = _parser() if dialect == "postgres" else None
    if parser is not None:
        try:
            parser.parse(text)
        except parser.PgQueryError as error:
            return str(error)
        return ""
    if not _COVERED.match(text) or text.count("(") == text.count(")"):
        return ""
    try:
        sqlglot.parse_one(text, read=dialect)
    except ParseError as error:
        said = error.errors[0]["description"] if error.errors else str(error)
        return said.rstrip(".") if _PLAIN.search(said) else ""
    except (SqlglotError, RecursionError):
        return ""
    return ""
