"""The book against itself: who answers at night."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from opsbook.book.model import BookModel
from opsbook.book.rotations import as_aware, gaps_told, zone_of
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_MOST = 4
_BOOK = """opsbook: 1
system: shop
environments: {production: {}}
components: {site: {kind: http, url: "https://shop.example.org"}}
contacts: {ana: {}, bob: {}}
oncall:
  first: {members: [ana, bob], start: 2026-01-05T09:00:00, hours: {start: "08:00", end: "20:00"}"""


@rule(
    "OB701",
    "nobody-on-call",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A rotation that has nobody at some time, and nobody who stands in",
    reason=(
        "A page of that time goes to nobody until the next level's time has come, if there is one. Gaps come from "
        "`hours` that do not cover the week, and from backups that have hours of their own."
    ),
    source="https://sre.google/sre-book/being-on-call/",
    bad=_BOOK + "}",
    good=_BOOK + ", backup: ana}",
    needs="a book",
)
def nobody_on_call(context: Context) -> Iterator[Fault]:
    """One round of all members, in each environment. What only stands in for another is judged with that one."""
    book = context.book
    assert book is not None
    for model in (book.model, *book.models.values()):
        for name in model.oncall:
            if _only_stands_in(model, name):
                continue
            if told := gaps_told(model, name, _start(model)):
                more = f" and {len(told) - _MOST} more" if len(told) > _MOST else ""
                line = book.located.key(("oncall", name)).line
                yield Fault(
                    context.place(line),
                    f"nobody is on call in {name}: {', '.join(told[:_MOST])}{more}",
                    Fix("add `backup`, or members and hours that cover it"),
                    subject=name,
                )


def _only_stands_in(book: BookModel, name: str) -> bool:
    severities = book.severities.values()
    levels = (*book.escalation, *(level for one in severities for level in one.escalation))
    called = {*(level.notify for level in levels), *(who for one in severities for who in one.notify)}
    return name not in called and any(one.backup == name for other, one in book.oncall.items() if other != name)


def _start(book: BookModel) -> datetime:
    """When all rotations have begun: what lint finds depends on the book alone, not on the day."""
    return max(as_aware(one.start, zone_of(book, one)) for one in book.oncall.values())
