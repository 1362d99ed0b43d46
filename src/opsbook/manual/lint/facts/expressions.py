"""The PromQL of a manual: queries of blocks, of rules, of dashboards and of commands, with their parse trees."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import promql_parser

from opsbook.manual.document import Document, Fence
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.rule import Place

_EXPR = re.compile(r"""^(?P<lead>\s*(?:-\s+)?["']?expr["']?\s*:\s*)(?P<value>.*)$""")
_CONTINUES = re.compile(r"^\s*(?:[-+*/%^><=!]|and\b|or\b|unless\b|by\b|on\b|without\b|[)}\]])|^\s{2,}\S")
_VARIABLE = re.compile(r"\$__\w+|\$\{?\w+\}?")


@dataclass(frozen=True)
class Expression:
    """One PromQL expression. `alert` is the name of its rule, `source` fence, rule, dashboard or command."""

    text: str
    locate: Callable[[int], tuple[int, int]]
    source: str
    alert: str = ""
    comment: str = ""
    context: str = ""

    @property
    def place(self) -> Place:
        return Place(*self.locate(0))

    def find(self, piece: str) -> Place:
        """The place of a piece of the text, else of the whole."""
        at = self.text.find(piece)
        if at < 0:
            return self.place
        line, column = self.locate(at)
        return Place(line, column, column + len(piece.split("\n", 1)[0]))

    @cached_property
    def parsed(self) -> tuple[Any, str]:
        """The tree and an empty string, or None and the parser's message."""
        text = re.sub(r"#[^\n]*", "", self.text)
        text = _VARIABLE.sub(lambda m: "5m" if "interval" in m[0] or "range" in m[0] else "x", text)
        try:
            return promql_parser.parse(text), ""
        except ValueError as error:
            return None, str(error)

    @property
    def tree(self) -> Any:
        """The tree, or None."""
        return self.parsed[0]


def nodes(tree: Any) -> Iterator[Any]:
    """Every node of a PromQL tree, parents first."""
    if tree is None:
        return
    yield tree
    for child in children(tree):
        yield from nodes(child)


def children(node: Any) -> list[Any]:
    """The expressions directly below a node."""
    kind = type(node).__name__
    if kind == "BinaryExpr":
        return [node.lhs, node.rhs]
    if kind == "AggregateExpr":
        return [node.expr, *([node.param] if node.param is not None else [])]
    if kind == "Call":
        return list(node.args)
    if kind in ("ParenExpr", "UnaryExpr", "SubqueryExpr"):
        return [node.expr]
    return []


def bare(node: Any) -> Any:
    """A node without the parentheses around it."""
    while type(node).__name__ == "ParenExpr":
        node = node.expr
    return node


def selector(node: Any) -> Any:
    """The vector selector of a selector or range node, or None."""
    kind = type(node).__name__
    if kind == "VectorSelector":
        return node
    return node.vector_selector if kind == "MatrixSelector" else None


def matchers(node: Any) -> list[tuple[str, str, str]]:
    """Label, operator (=, !=, =~, !~) and value of a selector's matchers."""
    signs = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
    return [(m.name, signs.get(str(m.op).rsplit(".", 1)[-1], "?"), m.value) for m in node.matchers.matchers]


def expressions(document: Document, steps: Iterator[Step]) -> tuple[Expression, ...]:
    """Every expression in the order of the file."""
    found: list[Expression] = []
    for fence in document.fences():
        if fence.language == "promql":
            found += _of_fence(fence)
        elif fence.language in ("yaml", "json") or fence.tag in ("yaml", "yml", "json"):
            found += _of_rules(fence)
    for step in steps:
        for piece in step.command.embedded:
            if piece.language == "promql" and piece.text.strip():
                found.append(Expression(piece.text, piece.at, "command", comment=step.comment))
    found.sort(key=lambda expression: expression.locate(0))
    return tuple(found)


def _of_fence(fence: Fence) -> Iterator[Expression]:
    parts: list[str] = []
    offset, start, comment, said = 0, 0, "", ""
    for line in [*fence.text.split("\n"), ""]:
        text = line.strip()
        ends = not text or text.startswith("#") or not (parts and (_CONTINUES.match(line) or _open("\n".join(parts))))
        if ends and parts:
            body = "\n".join(parts)
            yield Expression(
                body.rstrip(), _from(fence, start), "fence", comment=said, context=" ".join(fence.section_path)
            )
            parts = []
        if text.startswith("#"):
            comment = text.lstrip("# ")
        elif text:
            if not parts:
                start, said = offset + len(line) - len(line.lstrip()), comment
                line_text = line.lstrip()
            else:
                line_text = line
            parts.append(line_text)
        offset += len(line) + 1


def _open(text: str) -> bool:
    text = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    return any(text.count(a) > text.count(b) for a, b in ("()", "{}", "[]")) or text.rstrip().endswith(
        ("/", "*", "+", "-", ">", "<", "==", " and", " or", " unless")
    )


def _from(fence: Fence, start: int) -> Callable[[int], tuple[int, int]]:
    return lambda position: fence.at(start + position)


def _of_rules(fence: Fence) -> Iterator[Expression]:
    lines = fence.text.split("\n")
    offset, alert = 0, ""
    offsets = []
    for line in lines:
        offsets.append(offset)
        offset += len(line) + 1
    for number, line in enumerate(lines):
        named = re.match(r"""\s*(?:-\s+)?["']?(?:alert|record|title|name)["']?\s*:\s*["']?([^"',]+)""", line)
        if named:
            alert = named[1].strip()
        found = _EXPR.match(line)
        if not found:
            continue
        value, start = found["value"].strip(), offsets[number] + found.start("value")
        if value.rstrip("+-") in ("|", ">"):
            indent = len(line) - len(line.lstrip())
            body = []
            for later in lines[number + 1 :]:
                if later.strip() and len(later) - len(later.lstrip()) <= indent:
                    break
                body.append(later)
            text = "\n".join(body)
            lead = len(text) - len(text.lstrip())
            yield Expression(text.strip(), _from(fence, offsets[number + 1] + lead), "rule", alert)
        elif value:
            quote = value[0] if value[0] in "\"'" else ""
            text = value.rstrip(",")
            if quote:
                end = text.rfind(quote)
                text, start = text[1:end] if end > 0 else text[1:], start + 1
                text = text.replace('\\"', '"')
            source = "dashboard" if '"expr"' in line else "rule"
            yield Expression(text, _from(fence, start), source, alert)
