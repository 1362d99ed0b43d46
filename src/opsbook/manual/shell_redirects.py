"""Redirections, here-documents and here-strings from their nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from opsbook.manual.shell_model import Heredoc, Redirect, Word
from opsbook.manual.shell_tree import Node, Source, point_of
from opsbook.manual.shell_words import expansions, word_of

REDIRECTS = ("file_redirect", "heredoc_redirect", "herestring_redirect")

Redirected: TypeAlias = tuple[tuple[Redirect, ...], Heredoc | None, list[Node]]


def read_redirect(source: Source, node: Node, variables: Mapping[str, str]) -> Redirected:
    """A redirection from its node: plain ones, a here-document, the commands that follow its mark on the line."""
    line, column = source.place(point_of(node.start_point))
    if node.type == "herestring_redirect":
        target = next((child for child in node.named_children if child.type != "file_descriptor"), None)
        if target is None:
            return (), None, []
        word = word_of(source, target, variables)
        at = word.at(0)
        return (), Heredoc(word.text, at[0], at[1], "", True, word.variables, True, word.segments), []
    if node.type == "heredoc_redirect":
        return _heredoc(source, node, variables)
    descriptor = next((child for child in node.children if child.type == "file_descriptor"), None)
    operator = next((child.type for child in node.children if not child.is_named), ">")
    target = node.child_by_field_name("destination")
    word = word_of(source, target, variables) if target is not None else raw_word(source, node)
    number = source.raw(descriptor) if descriptor is not None else ""
    return (Redirect(operator, word, int(number) if number.isdigit() else -1, line, column),), None, []


def _heredoc(source: Source, node: Node, variables: Mapping[str, str]) -> Redirected:
    body, start = None, None
    rest: list[Node] = []
    redirects: list[Redirect] = []
    closed = False
    for child in node.children:
        if child.type == "heredoc_body":
            body = child
        elif child.type == "heredoc_start":
            start = child
        elif child.type == "heredoc_end":
            closed = True
        elif child.type in REDIRECTS:
            redirects.extend(read_redirect(source, child, variables)[0])
        elif child.type == "pipeline":
            rest.extend(each for each in child.named_children if each.type != "comment")
        elif child.type in ("command", "list", "redirected_statement"):
            rest.append(child)
    delimiter = source.raw(start) if start is not None else ""
    if body is None:
        line, column = source.place(point_of(node.end_point))
        return tuple(redirects), Heredoc("", line, column, delimiter.strip("'\"\\"), True, (), closed), rest
    # The grammar begins the body at its first character that is not blank; the file's own lines are what counts.
    row = body.start_point[0]
    offset = body.start_byte - body.start_point[1]
    text = source.slice(offset, body.end_byte)
    line, column = source.place((row, 0))
    expands = not re.search(r"['\"\\]", delimiter)
    names = expansions(text) if expands else ()
    segments = ((0, line, column), *((start, *at) for start, at in source.line_starts(text, row)))
    bare = delimiter.strip("'\"\\")
    return tuple(redirects), Heredoc(text, line, column, bare, expands, names, closed, segments), rest


def raw_word(source: Source, node: Node) -> Word:
    """A word that holds a node as it is written."""
    raw = source.raw(node)
    line, column = source.place(point_of(node.start_point))
    end_line, end_column = source.place(point_of(node.end_point))
    return Word(
        raw, raw, raw if "$" not in raw else None, line, column, end_line, end_column, variables=expansions(raw)
    )
