"""`opsbook report handover|daily|weekly|monthly|audit`: what happened, for those who were not there."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from opsbook.watch.reports.facts import Facts
    from opsbook.watch.reports.spans import Kind

ABOUT: dict[Kind, str] = {
    "handover": "What the next one takes over: what is bad, who has it, what waits, what changed in twelve hours.",
    "daily": "The last day: availability, incidents, checks, changes, backups, certificates, checklists.",
    "weekly": "The last week: as the daily one, with capacity and open actions.",
    "monthly": "The last month: as the weekly one, with access: roles and tokens.",
    "audit": "The last month for an auditor: who did what, the audit chain, runs and their approvals, access.",
}
ENDING = {".html": "html", ".htm": "html", ".md": "markdown", ".json": "json"}


def commands() -> list[click.Command]:
    """A command for each kind."""
    return [_command(kind, about) for kind, about in ABOUT.items()]


def _command(kind: Kind, about: str) -> click.Command:
    @click.command(kind, help=f"{about}\n\nExit codes: 0 written, 2 wrong usage, 3 the file cannot be written.")
    @book_options
    @format_option("markdown", "html", "json")
    @click.option(
        "--to", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="Write it into this file; its ending says the form.",
    )  # fmt: skip
    @click.option("--since", metavar="WHEN", help="From when, as in 08:00 of the last day, or 2026-11-01.")
    def command(book: str | None, env: str | None, output: str, to: Path | None, since: str | None) -> int:
        return _report(kind, book, env, output, to, since)

    return command


def _report(kind: Kind, book: str | None, env: str | None, output: str, to: Path | None, since: str | None) -> int:
    from datetime import timedelta

    from opsbook.cli.times import moment
    from opsbook.errors import OpsbookError, UsageError
    from opsbook.watch.reports.facts import gather
    from opsbook.watch.reports.pages import summary
    from opsbook.watch.reports.spans import Span, span_of

    with opened(book, env) as service:
        now, zone = service.setting.clock.now(), str(service.system.model.timezone)
        span = span_of(kind, now, zone)
        if since is not None:
            begin = moment(since, "--since", ZoneInfo(zone), now)
            begin = begin - timedelta(days=1) if begin > now and len(since) <= 5 else begin
            if begin >= now:
                raise UsageError(f"--since {since} is not in the past", "write a day such as 2026-11-01")
            span = Span(begin.astimezone(UTC), now)
        facts = gather(service.setting, service.system, kind, span)
    if to is None:
        click.echo(_text(facts, output), nl=False)
        return 0
    try:
        to.write_text(_text(facts, ENDING.get(to.suffix.lower(), output)), encoding="utf-8")
    except OSError as error:
        raise OpsbookError(f"{to}: {error.strerror}", "name another file") from error
    say(f"{summary(facts)} Written to {to}")
    return 0


def _text(facts: Facts, form: str) -> str:
    from opsbook.watch.reports.data import as_json
    from opsbook.watch.reports.pages import as_html, as_markdown

    return {"html": as_html, "markdown": as_markdown, "json": as_json}[form](facts)
