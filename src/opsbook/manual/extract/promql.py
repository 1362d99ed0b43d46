"""PromQL: in blocks of its own, in curl commands, in Prometheus rules and dashboards."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.document import Document, Fence
from opsbook.manual.extract.statements import read_block
from opsbook.manual.extract.yaml_nodes import entries
from opsbook.manual.facts import Query
from opsbook.manual.shell import walk_commands

_EXPR = re.compile(r"\"expr\"\s*:\s*\"((?:[^\"\\]|\\.)*)\"")


def promql(document: Document) -> list[Query]:
    """All PromQL expressions of a manual, with the comment or name that titles each."""
    found: list[Query] = []
    for fence in document.fences():
        if fence.language == "promql":
            found.extend(_of_block(fence))
        elif fence.language in ("bash", "console"):
            for command in walk_commands(read_block(fence).parsed):
                found.extend(
                    Query(line=each.line, column=each.column, title=command.comment, expression=each.text)
                    for each in command.embedded
                    if each.language == "promql"
                )
        elif fence.language == "yaml":
            for entry in entries(fence.text, fence.line):
                if entry.text("expr"):
                    title = entry.text("alert", "record", "title", "legendFormat")
                    found.append(Query(line=entry.lines["expr"], column=1, title=title, expression=entry.text("expr")))
        elif fence.language == "json":
            for match in _EXPR.finditer(fence.text):
                line, column = fence.at(match.start(1))
                found.append(Query(line=line, column=column, title="", expression=re.sub(r"\\(.)", r"\1", match[1])))
    return found


def _of_block(fence: Fence) -> Iterable[Query]:
    """Expressions one after another: a new one begins on a line that is not indented and where no bracket is open."""
    gathered: list[str] = []
    title, start, depth = "", 0, 0
    lines = fence.text.removesuffix("\n").split("\n")
    for index, line in enumerate(lines):
        stripped = line.strip()
        comment = re.match(r"(?:#|//|--)\s?(.*)", stripped)
        fresh = depth <= 0 and not (gathered and (line[:1].isspace() or _continues(stripped, gathered[-1])))
        if gathered and (comment or not stripped or fresh) and depth <= 0:
            yield _query(fence, start, title, gathered)
            gathered, title = [], "" if not comment else title
        if comment and not gathered:
            title = comment[1].strip()
        elif stripped and not comment:
            if not gathered:
                start = index
            gathered.append(line)
            bare = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", "", line)
            depth += sum(bare.count(mark) for mark in "([{") - sum(bare.count(mark) for mark in ")]}")
        if not stripped:
            depth = 0
    if gathered:
        yield _query(fence, start, title, gathered)


def _continues(line: str, before: str) -> bool:
    """Whether a line goes on with the expression before it, by its operator or that one's."""
    operator = r"(?:[-+*/%^<>=!]|and\b|or\b|unless\b|by\b|without\b|on\b|ignoring\b|group_left\b|group_right\b|\))"
    return bool(re.match(operator, line)) or bool(re.search(r"(?:[-+*/%^<>=(,]|\band|\bor|\bunless)\s*$", before))


def _query(fence: Fence, start: int, title: str, lines: list[str]) -> Query:
    column = fence.columns[start] if start < len(fence.columns) else 1
    indent = len(lines[0]) - len(lines[0].lstrip())
    return Query(line=fence.line + start, column=column + indent, title=title, expression="\n".join(lines).strip())
