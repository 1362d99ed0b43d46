"""Lint of one manual, of several that speak of one system, or of a book."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from opsbook.errors import UsageError
from opsbook.manual.document import Document
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.finding import Finding, Severity
from opsbook.manual.lint.rule import Rule, all_rules
from opsbook.manual.lint.suppress import suppressions

if TYPE_CHECKING:
    from opsbook.book.load import Book
    from opsbook.manual.lint.repository import Repository
    from opsbook.manual.reading import Manual

_LINES_PER_HINT = 20
_OF_BOOKS = "a book"
"""What the rules need that read books; all others read manuals."""


@dataclass(frozen=True)
class Choice:
    """Which rules run, by id or name with `*`: `select` empty means all; `least` is the least severity told."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    least: Severity = Severity.HINT
    broken: Callable[[str], None] | None = None
    """Told of each rule that failed on a manual, which then counts as silent; without it, its error is raised."""

    def takes(self, rule: Rule) -> bool:
        """Whether a rule is chosen."""
        return (not self.select or _named(rule, self.select)) and not _named(rule, self.ignore)


def lint_document(
    document: Document,
    manual: Manual | None = None,
    choice: Choice | None = None,
    repository: Repository | None = None,
) -> list[Finding]:
    """The findings of one manual, by line. Files that it names are looked up only where a repository is given.

    Raises UsageError where the choice names no rule that exists.
    """
    return _lint([Context(document, manual, repository=repository)], choice or Choice())


def lint_documents(pairs: Sequence[tuple[Document, Manual | None]], choice: Choice | None = None) -> list[Finding]:
    """The findings of several manuals of one system: each by itself, and where they contradict each other."""
    return _lint([Context(document, manual) for document, manual in pairs], choice or Choice())


def lint_book(book: Book, text: str, choice: Choice | None = None) -> list[Finding]:
    """The findings of a book itself, by line of its file. Raises UsageError as `lint_document` does."""
    lines = text.replace("\r\n", "\n").split("\n")
    return _lint([Context(Document(str(book.path), tuple(lines), ()), None, book=book)], choice or Choice())


def _lint(contexts: list[Context], choice: Choice) -> list[Finding]:
    _check_names(choice)
    found: list[Finding] = []
    for context in contexts:
        context.others = tuple(other for other in contexts if other is not context)
        rules = [rule for rule in all_rules() if (rule.needs == _OF_BOOKS) is (context.book is not None)]
        own = [finding for rule in rules if choice.takes(rule) for finding in _run(rule, context, choice)]
        own = suppressions(context.document).left(own)
        own = [finding for finding in own if finding.severity.rank >= choice.least.rank]
        found += _few_hints(_once_a_line(own), len(context.document.lines))
    return found


def _run(rule: Rule, context: Context, choice: Choice) -> list[Finding]:
    try:
        return list(rule.run(context))
    except Exception as error:
        # Whatever stands in a manual that nobody here has seen: one rule must not take the findings of all others.
        if choice.broken is None:
            raise
        choice.broken(
            f"{context.document.name}: rule {rule.id} ({rule.name}) could not judge it: {type(error).__name__}: {error}"
        )
        return []


def _once_a_line(findings: list[Finding]) -> list[Finding]:
    """By line; where a rule speaks twice of one line with the same message, once."""
    findings.sort(key=lambda f: (f.line, f.column, f.rule))
    kept: dict[tuple[int, str, str], Finding] = {}
    for finding in findings:
        kept.setdefault((finding.line, finding.rule, finding.message), finding)
    return list(kept.values())


def _few_hints(findings: list[Finding], lines: int) -> list[Finding]:
    """Hints of one rule are told once with their lines, and never more than one for twenty lines of manual."""
    first: dict[str, Finding] = {}
    kept: list[Finding] = []
    for finding in findings:
        if finding.severity is not Severity.HINT:
            kept.append(finding)
        elif finding.rule in first:
            known = first[finding.rule]
            first[finding.rule] = replace(
                known, also=tuple(sorted({*known.also, finding.line, *finding.also} - {known.line}))
            )
        else:
            first[finding.rule] = finding
    hints = list(first.values())[: max(1, lines // _LINES_PER_HINT)]
    return sorted([*kept, *hints], key=lambda f: (f.line, f.column, f.rule))


def _named(rule: Rule, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, p) for p in patterns for name in (rule.id, rule.name, str(rule.fault)))


def _check_names(choice: Choice) -> None:
    for pattern in (*choice.select, *choice.ignore):
        if not any(_named(rule, [pattern]) for rule in all_rules()):
            raise UsageError(f"no lint rule is called {pattern}", "list them with `opsbook lint --rules`")
