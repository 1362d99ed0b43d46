"""`opsbook import` of Prometheus' rule files."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opsbook.errors import UsageError

if TYPE_CHECKING:
    from opsbook.book.load import Book


def rule_files(names: tuple[str, ...]) -> tuple[list[tuple[str, str]], list[str]]:
    """The rule files among some paths, as names and texts, and the other paths. Each path counts once."""
    from opsbook.cli.manuals import read_manual_text
    from opsbook.manual.extract.rule_files import is_rule_file

    rules, others = [], []
    for name in dict.fromkeys(names):
        text = read_manual_text(Path(name)) if name.lower().endswith((".yml", ".yaml", ".rules")) else ""
        if is_rule_file(name, text):
            rules.append((Path(name).name, text))
        else:
            others.append(name)
    return rules, others


def print_checks(rules: list[tuple[str, str]], out: str | None, output: str) -> int:
    """The checks of rule files for a book that there is: its Prometheus is asked, its procedures and ids are known."""
    from opsbook.catalogue import catalogue
    from opsbook.manual.importing.procedures import flow
    from opsbook.manual.importing.rule_checks import checks_of_rules

    if out is not None or output == "html":
        raise UsageError(
            "rule files alone make no book",
            "name the manual too, or leave --out and html away and take the checks over",
        )
    book = _book()
    prometheus, procedures, taken = "prometheus", [], []
    if book is not None:
        parts = book.model.components.items()
        prometheus = next((name for name, part in parts if part.kind == "prometheus"), prometheus)
        procedures = [path.stem for path in sorted((book.folder / book.model.procedures).glob("*.md"))]
        taken = [check.id for check in book.model.checks]
    found = checks_of_rules(rules, catalogue(), prometheus, procedures, taken)
    if output == "json":
        told = {
            "checks": [{**check, "place": place} for check, place in found.checks],
            "decide": [vars(one) for one in found.decide],
        }
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return 0
    click.echo("checks:")
    for check, place in found.checks:
        click.echo(f"  - {flow(check)}  # {place}")
    for one in found.decide:
        click.echo(f"  # {one.place}: {' '.join(one.text.split())}")
    return 0


def _book() -> Book | None:
    from opsbook.cli.options import read_book

    with suppress(UsageError):
        return read_book(None)
    return None
