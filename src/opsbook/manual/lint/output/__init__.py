"""Findings for people and for machines: terminal, JSON, SARIF, JUnit, GitHub annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opsbook.manual.lint.finding import Finding
from opsbook.manual.lint.output.github import github
from opsbook.manual.lint.output.json import as_json
from opsbook.manual.lint.output.junit import junit
from opsbook.manual.lint.output.sarif import sarif
from opsbook.manual.lint.output.terminal import terminal

Texts = Mapping[str, Sequence[str]]

#: Name of a format → function of the findings and the lines of each file.
FORMATS: dict[str, Callable[[Sequence[Finding], Texts], str]] = {
    "terminal": terminal,
    "json": as_json,
    "sarif": sarif,
    "junit": junit,
    "github": github,
}

__all__ = ["FORMATS", "as_json", "github", "junit", "sarif", "terminal"]
