"""Lint: what is wrong with a manual, why, and how to mend it."""

from opsbook.manual.lint.engine import Choice, lint_book, lint_document, lint_documents
from opsbook.manual.lint.finding import Edit, FaultClass, Finding, Fix, Severity
from opsbook.manual.lint.rule import Rule, all_rules

__all__ = [
    "Choice",
    "Edit",
    "FaultClass",
    "Finding",
    "Fix",
    "Rule",
    "Severity",
    "all_rules",
    "lint_book",
    "lint_document",
    "lint_documents",
]
