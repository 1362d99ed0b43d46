"""The reference page of the API, made of its own description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opsbook.api.scopes import SCOPES

HEAD = """\
# The API

Made of the code by `make docs`. A running server tells the same at `/api/v1/openapi.json`, with examples. How to use
it: [Use opsbook from programs](../how-to/api.md).

*role* is what a token needs at least: viewer, responder, operator, admin. *signed*: the address proves itself.
*public*: anybody. Every list takes `environment`, `limit` and, where it has pages, `cursor`; they are left out below.
What a body must have is in bold.
"""
USUAL = frozenset({"environment", "limit", "cursor", "Last-Event-ID"})
LINKED = frozenset({"who", "until", "sign"})


def reference(made: Mapping[str, Any]) -> str:
    """The page, from OpenAPI as `app.description` has it."""
    parts = [HEAD]
    for scope, told in SCOPES.items():
        rows = [row for path, method, operation in _operations(made) if operation["tags"] == [scope]
                for row in [_row(made, path, method, operation)]]  # fmt: skip
        if rows:
            parts.append(f"## {scope}\n\n{told[0].upper()}{told[1:]}.\n")
            parts.append("\n".join(["| request | role | what it does | it takes |", "|---|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _operations(made: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _row(made: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    words = " ".join(operation["description"].split())
    takes = [*_query(operation), *_body(made, operation)]
    return f"| `{method} {path}` | {operation['x-role']} | {_cell(words)} | {_cell(', '.join(takes))} |"


def _query(operation: Mapping[str, Any]) -> Iterator[str]:
    left_out = USUAL | (LINKED if operation["x-role"] == "signed" else frozenset())
    for one in operation.get("parameters", ()):
        if one["in"] == "query" and one["name"] not in left_out:
            yield f"`?{one['name']}=`"


def _body(made: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[str]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    if name := schema.get("$ref", "").rpartition("/")[2]:
        schema = made["components"]["schemas"][name]
    for key in schema.get("properties", {}):
        yield f"**`{key}`**" if key in schema.get("required", ()) else f"`{key}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
