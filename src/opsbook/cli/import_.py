"""`opsbook import`: manuals as they lie in a repository become a book, and Prometheus' rule files its checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.options import format_option

if TYPE_CHECKING:
    from opsbook.book.system import System
    from opsbook.cli.manuals import ManualFile
    from opsbook.manual.importing.digest import Outcome
    from opsbook.manual.importing.make import Import

REPORT = "import-report.html"


@click.command("import")
@click.argument("manuals", nargs=-1, required=True, metavar="MANUAL...")
@click.option("--out", metavar="FOLDER", help="Write book.yaml, procedures/ and the report there (normally ops/).")
@click.option(
    "--environment",
    "environments",
    multiple=True,
    metavar="NAME=FILE",
    help="Add an environment, or say more of `production`: a YAML file with its keys. Repeatable.",
)
@click.option("--all", "everything", is_flag=True, help="Do not cut long lists of the report.")
@format_option("text", "json", "html")
def command(
    manuals: tuple[str, ...], out: str | None, environments: tuple[str, ...], everything: bool, output: str
) -> int:
    """Make one book of the MANUALs of one system, and say what became of each command.

    Rule files of Prometheus (*.yml with `groups`) among them become checks of the book. Alone they are printed as the
    `checks` of a book that there is already.

    Without --out nothing is written: the report is printed, or as JSON all that was read. Importing again never
    overwrites a file that was edited: it shows the difference. Paths in an environment's FILE are as in the book, from
    its folder. Exit codes: 0 fine, 1 edited files differ from what the manuals say now, 2 wrong usage.
    """
    import json

    from opsbook.cli.import_rules import print_checks, rule_files
    from opsbook.cli.manuals import read_manual_file
    from opsbook.manual.importing.report import report
    from opsbook.manual.importing.report_html import as_html
    from opsbook.manual.importing.report_text import as_text

    rules, names = rule_files(manuals)
    if not names:
        return print_checks(rules, out, output)
    files = [read_manual_file(Path(name)) for name in names]
    made = _made(files, dict(_environment(word) for word in environments), Path(out or "ops"), rules)
    data = report(made)
    outcomes = _write(made, Path(out), as_html(data)) if out else []
    if output == "json":
        click.echo(json.dumps(_json(files, data), ensure_ascii=False, indent=1))
    elif output == "html":
        click.echo(as_html(data), nl=False)
    else:
        click.echo(as_text(data, everything))
    return _tell(outcomes, Path(out)) if out else 0


def _made(
    files: list[ManualFile], environments: dict[str, dict[str, Any]], folder: Path, rules: list[tuple[str, str]]
) -> Import:
    from opsbook.catalogue import catalogue
    from opsbook.manual.importing.make import make

    return make(_named(files), catalogue(), _mistakes, environments, folder, rules)


def _named(files: list[ManualFile]) -> list[tuple[str, str]]:
    """By the names of the files alone where these differ, so that an import is the same wherever it is called."""
    names = [file.path.name for file in files]
    if len(set(names)) < len(names):
        names = [str(file.path) for file in files]
    return [(name, file.text) for name, file in zip(names, files, strict=True)]


def _mistakes(text: str, name: str, system: System) -> list[tuple[int, str]]:
    """What keeps a procedure from compiling: line and sentence."""
    from opsbook.engine.compile import compile_procedure
    from opsbook.engine.mistakes import InvalidProcedure

    try:
        compile_procedure(text, name, system, system.book.catalogue)
    except InvalidProcedure as error:
        return [(one.line, one.message) for mistakes in error.mistakes for one in mistakes.found]
    return []


def _environment(word: str) -> tuple[str, dict[str, Any]]:
    from opsbook.book.positions import Unreadable, read_yaml
    from opsbook.errors import UsageError

    name, equals, file = word.partition("=")
    if not equals or not name or not file:
        raise UsageError(
            f"--environment {word}: a name and a file are needed", "write --environment rehearsal=FILE.yaml"
        )
    try:
        data = read_yaml(Path(file).read_text(encoding="utf-8"), file).data
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}", "name a YAML file"
        ) from error
    except Unreadable as error:
        raise UsageError("\n".join(str(problem) for problem in error.problems)) from error
    if not isinstance(data, dict):
        raise UsageError(
            f"{file} is not a mapping of keys", "write the keys of the environment: `runtime: …`, `env_file: …`"
        )
    return name, data


def _json(files: list[ManualFile], data: dict[str, Any]) -> dict[str, Any]:
    """All that was read of the manuals, kind by kind, with what was lifted."""
    from opsbook.manual.reading import as_json, extract

    read = [as_json(extract(file.document)) for file in files]
    found = read[0]
    if len(read) > 1:
        for file, one in zip(files, read, strict=True):
            for value in one.values():
                for item in value if isinstance(value, list) else []:
                    item["manual"] = str(file.path)
        for other in read[1:]:
            for key, value in other.items():
                if isinstance(value, list):
                    found[key] = found[key] + value
        found["systems"] = [one["system"] for one in read]
    return {**found, "lift": data}


def _write(made: Import, folder: Path, page: str) -> list[Outcome]:
    """Write what nobody edited."""
    from opsbook.errors import UsageError
    from opsbook.manual.importing.digest import Fate, fate_of

    outcomes = []
    try:
        for name, text in made.files.items():
            path = folder / name
            there = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
            outcome = fate_of(name, there, text)
            if outcome.fate in (Fate.NEW, Fate.RENEWED):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            outcomes.append(outcome)
        (folder / REPORT).write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}", "choose another folder with --out") from error
    return outcomes


def _tell(outcomes: list[Outcome], folder: Path) -> int:
    from collections import Counter

    from opsbook.manual.importing.digest import Fate

    count = Counter(outcome.fate for outcome in outcomes)
    click.echo(f"\n{folder}: " + ", ".join(f"{number} {fate}" for fate, number in count.items()), err=True)
    click.echo(f"report: {folder / REPORT}", err=True)
    kept = [outcome for outcome in outcomes if outcome.diff]
    for outcome in kept:
        click.echo(f"\n{folder / outcome.path}: {outcome.fate}", err=True)
        click.echo(outcome.diff, err=True, nl=False)
    return int(any(outcome.fate in (Fate.DIFFERS, Fate.FOREIGN) for outcome in kept))
