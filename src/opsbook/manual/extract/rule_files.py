"""Prometheus' rule files, and the PrometheusRule of its operator: alerting rules with their lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opsbook.manual.extract.yaml_nodes import Entry, entries

_GROUPS = re.compile(r"^[ \t]*[\"']?groups[\"']?[ \t]*:", re.M)
_RULES = re.compile(r"(?:^|[{,\s-])[\"']?(?:alert|record)[\"']?[ \t]*:", re.M)
_OF_BOOK = re.compile(r"^[ \t]*# book: (?P<check>\{.*\})[ \t]*$")
LARGEST = 4 * 2**20
"""Characters of a rule file; those of large teams have some hundred thousand."""


@dataclass(frozen=True)
class AlertingRule:
    """One alert of a rule file, its expression in one line. `book` is the check that it was generated of."""

    line: int
    name: str
    expression: str
    hold: str
    labels: dict[str, str]
    annotations: dict[str, str]
    book: dict[str, Any]

    @property
    def severity(self) -> str:
        return self.labels.get("severity", "")


def is_rule_file(name: str, text: str) -> bool:
    """Whether a file is one, by its name and by what stands in it."""
    yaml = name.lower().endswith((".yml", ".yaml", ".rules"))
    return yaml and bool(_GROUPS.search(text)) and bool(_RULES.search(text))


def alerting_rules(text: str) -> Iterator[AlertingRule]:
    """The alerts of a file, in its order. What is no YAML has none."""
    generated = _generated(text)
    for entry in entries(text, 1, LARGEST):
        if entry.text("alert") and entry.text("expr"):
            line = entry.lines["alert"]
            yield AlertingRule(
                line=line,
                name=entry.text("alert"),
                expression=re.sub(r"\s+", " ", entry.text("expr")),
                hold=entry.text("for"),
                labels=_texts(entry.entry("labels")),
                annotations=_texts(entry.entry("annotations")),
                book=_book(generated, line, _texts(entry.entry("labels")).get("check", "")),
            )


def _texts(entry: Entry | None) -> dict[str, str]:
    return {} if entry is None else {name: entry.text(name) for name in entry.values}


def _generated(text: str) -> list[tuple[int, dict[str, Any]]]:
    """The comments with checks of a book, by line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _OF_BOOK.match(line)
        if match is None:
            continue
        try:
            check = json.loads(match["check"])
        except ValueError:
            continue
        if isinstance(check, dict):
            found.append((number, check))
    return found


def _book(generated: list[tuple[int, dict[str, Any]]], line: int, check: str) -> dict[str, Any]:
    """The nearest comment above a rule, if it is of the same check."""
    above = [one for number, one in generated if number < line]
    return above[-1] if above and check and above[-1].get("id") == check else {}
