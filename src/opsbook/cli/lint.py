"""`opsbook lint`: what is wrong with manuals and with the procedures of a book, and how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opsbook.cli.options import format_option

if TYPE_CHECKING:
    from opsbook.book.load import Book
    from opsbook.cli.manuals import ManualFile
    from opsbook.manual.lint import Choice, Finding

SEVERITIES = ("error", "warning", "hint")


@dataclass(frozen=True)
class Known:
    """Findings that are accepted for now: a file that is read, and one that is written."""

    baseline: str | None
    write: str | None


@click.command("lint")
@click.argument("paths", nargs=-1, metavar="MANUAL|BOOK...")
@format_option("text", "json", "sarif", "junit", "github")
@click.option(
    "--select", multiple=True, metavar="RULE", help="Only these rules: id, name or class, with *; repeatable."
)
@click.option("--ignore", multiple=True, metavar="RULE", help="Not these rules; repeatable.")
@click.option("--severity", type=click.Choice(SEVERITIES), default="hint", help="The least severity that is told.")
@click.option(
    "--fail-on",
    type=click.Choice((*SEVERITIES, "never")),
    default="warning",
    show_default=True,
    help="The least severity that makes the exit code 1.",
)
@click.option("--fix", is_flag=True, help="Apply the safe fixes, and show the others as a diff.")
@click.option("--baseline", metavar="FILE", help="Do not tell what this file holds.")
@click.option("--write-baseline", metavar="FILE", help="Accept what is found now: write it into this file.")
@click.option("--rules", is_flag=True, help="Print every rule with its reason and examples, as Markdown.")
@click.option("--explain", metavar="RULE", help="Print one rule with its reason, source and examples.")
def command(
    paths: tuple[str, ...],
    output: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    severity: str,
    fail_on: str,
    fix: bool,
    baseline: str | None,
    write_baseline: str | None,
    rules: bool,
    explain: str | None,
) -> int:
    """Say what is wrong with each MANUAL, and where several of one system contradict each other.

    A BOOK is a book.yaml or its folder: the book is validated, and it and its procedures are linted. Where nothing is
    named, it is the book that is found upwards from here.
    Exit codes: 0 nothing as grave as --fail-on, 1 findings, 2 wrong usage or an invalid book.
    """
    from opsbook.manual.lint import Choice, Severity
    from opsbook.manual.lint.gate import fails

    if rules:
        from opsbook.manual.lint.reference import reference

        click.echo(reference(), nl=False)
        return 0
    if explain:
        from opsbook.manual.lint.reference import explained

        click.echo(explained(explain), nl=False)
        return 0
    if not paths:
        paths = (_book_from_here(),)
    choice = Choice(_words(select), _words(ignore), Severity(severity), _said)
    read = _read(paths)
    findings = _findings(read, choice)
    if fix:
        findings = _fixed([*read.manuals, *read.procedures], findings)
    texts = {path: text.replace("\r\n", "\n").split("\n") for path, text in read.texts.items()}
    findings = _without_known(findings, texts, Known(baseline, write_baseline))
    _print(findings, texts, output)
    return int(fails(findings, None if fail_on == "never" else Severity(fail_on)))


def _book_from_here() -> str:
    from opsbook.book.load import find_book
    from opsbook.errors import OpsbookError, UsageError

    try:
        return str(find_book(Path.cwd(), None))
    except OpsbookError as error:
        raise UsageError(
            f"nothing is named that could be linted, and {error.message}",
            "name manuals, or a book: `opsbook lint MANUAL.md`",
        ) from None


def _words(given: Sequence[str]) -> tuple[str, ...]:
    """`--select OB1*,OB2*` and repeated options alike."""
    return tuple(word for one in given for word in one.replace(",", " ").split())


def _said(text: str) -> None:
    click.echo(f"opsbook: {text}", err=True)


@dataclass(frozen=True)
class Read:
    """What was named, each once."""

    manuals: list[ManualFile]
    procedures: list[ManualFile]
    books: list[tuple[Book, str]]
    """Each with the text of its file."""

    @property
    def texts(self) -> dict[str, str]:
        """Path → text of all files."""
        files = {str(one.path): one.text for one in (*self.manuals, *self.procedures)}
        return files | {str(book.path): text for book, text in self.books}


def _read(paths: Sequence[str]) -> Read:
    from opsbook.cli.manuals import read_manual_file, read_manual_text

    manuals: dict[str, ManualFile] = {}
    procedures: dict[str, ManualFile] = {}
    books: dict[Path, tuple[Book, str]] = {}
    for word in paths:
        path = Path(word)
        if path.is_dir() or path.suffix in (".yaml", ".yml"):
            book, files = _book_of(word)
            books.setdefault(book.path, (book, read_manual_text(book.path)))
            for file in files:
                procedures.setdefault(str(file), read_manual_file(file))
        else:
            manuals.setdefault(word, read_manual_file(path))
    return Read(list(manuals.values()), list(procedures.values()), list(books.values()))


def _book_of(named: str) -> tuple[Book, list[Path]]:
    """A book and its procedures' files. Raises InvalidBook or InvalidProcedure where it does not hold together."""
    from opsbook.book.load import find_book, load_book
    from opsbook.book.system import System
    from opsbook.catalogue import catalogue
    from opsbook.engine.compile import FOLDER, load_procedures

    book = load_book(find_book(Path.cwd(), named), catalogue())
    for name in book.model.environments:
        load_procedures(System(book, name, book.models.get(name, book.model)), catalogue())
    files = sorted(path for path in (book.folder / FOLDER).glob("*.md") if path.name.lower() != "readme.md")
    return book, files


def _findings(read: Read, choice: Choice) -> list[Finding]:
    from opsbook.manual.lint import lint_book, lint_document, lint_documents
    from opsbook.manual.lint.repository import repository_of

    manuals = read.manuals
    if len(manuals) > 1:
        found = lint_documents([(one.document, None) for one in manuals], choice)
    else:
        found = [f for one in manuals for f in lint_document(one.document, None, choice, repository_of(one.path))]
    for one in read.procedures:
        found += lint_document(one.document, None, choice)
    for book, text in read.books:
        found += lint_book(book, text, choice)
    return found


def _fixed(files: list[ManualFile], findings: list[Finding]) -> list[Finding]:
    """Apply the safe fixes to the files; what is left of the findings. The other fixes are shown as a diff."""
    from opsbook.errors import UsageError
    from opsbook.manual.lint.fix import apply_fixes, fix_diff

    left = list(findings)
    for file in files:
        own = [finding for finding in findings if finding.path == str(file.path)]
        done = apply_fixes(file.text, own)
        if done.applied:
            try:
                file.path.write_bytes(done.text.encode())
            except OSError as error:
                raise UsageError(f"{file.path}: {error.strerror}", "check its permissions") from error
            click.echo(f"{file.path}: {len(done.applied)} fixed", err=True)
        applied = {id(finding) for finding in done.applied}
        left = [finding for finding in left if id(finding) not in applied]
        diff = fix_diff(done.text, [finding for finding in own if id(finding) not in applied], str(file.path))
        if diff:
            click.echo(diff, err=True, nl=False)
    return left


def _without_known(findings: list[Finding], texts: dict[str, list[str]], known: Known) -> list[Finding]:
    from opsbook.errors import UsageError
    from opsbook.manual.lint.baseline import without_known, write_baseline

    try:
        if known.baseline:
            findings = without_known(findings, texts, Path(known.baseline).read_text(encoding="utf-8"))
        if known.write:
            Path(known.write).write_text(write_baseline(findings, texts), encoding="utf-8")
            click.echo(f"{known.write}: {len(findings)} findings are accepted", err=True)
            return []
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UsageError(
            f"{known.baseline or known.write}: {reason}", "name a baseline that can be read and written"
        ) from error
    return findings


def _print(findings: list[Finding], texts: dict[str, list[str]], output: str) -> None:
    import os

    from opsbook.manual.lint.output import FORMATS, terminal

    if output != "text":
        if said := FORMATS[output](findings, texts):
            click.echo(said)
        return
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    if findings:
        click.echo(terminal(findings, texts, colour=colour))
    else:
        click.echo("no findings", err=True)
