"""Rules and how they are found: a rule registers itself when its module is imported."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from opsbook.manual.lint.finding import FaultClass, Finding, Fix, Severity

if TYPE_CHECKING:
    from opsbook.manual.lint.context import Context


@dataclass(frozen=True)
class Place:
    """Where a fault stands, 1-based; `end_column` is excluded, 0 means the end of the line."""

    line: int
    column: int = 1
    end_column: int = 0


@dataclass(frozen=True)
class Fault:
    """What a rule yields. The rule's class and severity hold where none is given.

    Faults of one rule with the same `subject` are told once, at the first place, with the other lines.
    """

    at: Place
    message: str
    fix: Fix | None = None
    subject: str = ""
    severity: Severity | None = None
    fault: FaultClass | None = None


Check = Callable[["Context"], Iterable[Fault]]


@dataclass(frozen=True)
class Rule:
    """A rule with its documentation. `bad` must be found by it, `good` must leave it silent; both are manuals."""

    id: str
    name: str
    fault: FaultClass
    severity: Severity
    summary: str
    reason: str
    source: str
    bad: str
    good: str
    check: Check = field(repr=False)
    needs: str = ""

    def run(self, context: Context) -> Iterator[Finding]:
        """The findings of this rule, same subjects told once."""
        told: dict[str, tuple[Fault, list[int]]] = {}
        seen: set[tuple[int, int, str]] = set()
        for fault in self.check(context):
            key = (fault.at.line, fault.at.column, fault.message)
            if key in seen:
                continue
            seen.add(key)
            if fault.subject and fault.subject in told:
                told[fault.subject][1].append(fault.at.line)
            else:
                told[fault.subject or f"{key}"] = (fault, [])
        for fault, also in told.values():
            yield self._finding(fault, also, context)

    def _finding(self, fault: Fault, also: list[int], context: Context) -> Finding:
        lines = context.document.lines
        line = min(max(fault.at.line, 1), len(lines))
        end = fault.at.end_column or len(lines[line - 1].rstrip()) + 1
        others = tuple(sorted({number for number in also if number != line}))
        return Finding(
            rule=self.id,
            name=self.name,
            fault=fault.fault or self.fault,
            severity=fault.severity or self.severity,
            line=line,
            column=fault.at.column,
            end_column=max(end, fault.at.column + 1),
            message=fault.message,
            why=self.reason,
            fix=fault.fix,
            also=others,
            path=context.document.name,
        )


_RULES: dict[str, Rule] = {}


def rule(
    identifier: str,
    name: str,
    fault: FaultClass,
    severity: Severity,
    *,
    summary: str,
    reason: str,
    source: str,
    bad: str,
    good: str,
    needs: str = "",
) -> Callable[[Check], Check]:
    """Register a check as a rule. `needs` names an external program without which the rule is silent."""

    def register(check: Check) -> Check:
        assert identifier not in _RULES, f"{identifier} is taken by {_RULES[identifier].name}"
        _RULES[identifier] = Rule(
            identifier, name, fault, severity, summary, reason, source, bad.strip("\n"), good.strip("\n"), check, needs
        )
        return check

    return register


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule of the folder `rules`, by its id."""
    package = importlib.import_module("opsbook.manual.lint.rules")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(_RULES[key] for key in sorted(_RULES))
