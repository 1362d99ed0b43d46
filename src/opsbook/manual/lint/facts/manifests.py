"""YAML objects of a manual with the lines of their parts: Kubernetes manifests, compose files, rule files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from opsbook.manual.document import Document
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.rule import Place

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Manifest:
    """One YAML document. `error` is the parser's message where it could not be read."""

    data: Any
    first_line: int
    marks: dict[tuple[str | int, ...], int] = field(repr=False, default_factory=dict)
    error: str = ""
    error_line: int = 0

    @property
    def kind(self) -> str:
        """The Kubernetes kind, or nothing."""
        return str(self.data.get("kind", "")) if isinstance(self.data, dict) and "apiVersion" in self.data else ""

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.get("metadata", "name") or "")

    @property
    def namespace(self) -> str:
        """metadata.namespace."""
        return str(self.get("metadata", "namespace") or "")

    def get(self, *path: str | int) -> Any:
        """The value at a path, or None."""
        at: Any = self.data
        for key in path:
            there = (
                key in at if isinstance(at, dict) else isinstance(at, list) and isinstance(key, int) and key < len(at)
            )
            if not there:
                return None
            at = at[key]
        return at

    def line(self, *path: str | int) -> int:
        """The line of the value's key, or of the nearest part above it that is there."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, self.first_line)

    def place(self, *path: str | int) -> Place:
        """The place of a part."""
        return Place(self.line(*path))


def manifests(document: Document, steps: Iterator[Step]) -> tuple[Manifest, ...]:
    """Every YAML document of the blocks and of here-documents that kubectl applies."""
    found: list[Manifest] = []
    for fence in document.fences():
        if fence.language == "yaml":
            found += read_yaml(fence.text, fence.line)
    for step in steps:
        heredoc = step.command.heredoc
        if heredoc and step.program in ("kubectl", "cat", "tee") and "apiVersion:" in heredoc.text:
            found += read_yaml(heredoc.text, heredoc.line)
    return tuple(found)


def read_yaml(text: str, first_line: int) -> Iterator[Manifest]:
    """The documents of a YAML text; one with an error ends the reading."""
    try:
        for node in yaml.compose_all(text, Loader=_LOADER):
            if node is None:
                continue
            marks: dict[tuple[str | int, ...], int] = {}
            _mark(node, (), first_line, marks)
            loader = _LOADER("")
            try:
                data = loader.construct_document(node)
            finally:
                loader.dispose()
            yield Manifest(data, first_line + node.start_mark.line, marks)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = first_line + (mark.line if mark else 0)
        yield Manifest(None, first_line, {}, error.problem or str(error), line)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        yield Manifest(None, first_line, {}, str(error).split("\n")[0], first_line)


def _mark(node: Any, path: tuple[str | int, ...], first: int, marks: dict[tuple[str | int, ...], int]) -> None:
    marks.setdefault(path, first + node.start_mark.line)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                here = (*path, key.value)
                marks[here] = first + key.start_mark.line
                _mark(value, here, first, marks)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _mark(value, (*path, index), first, marks)
