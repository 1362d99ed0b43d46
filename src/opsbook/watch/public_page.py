"""The status page as one HTML file: no script, nothing loaded from anywhere, light and dark, phone and paper. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from html import escape as escape_html
from importlib.resources import files
from zoneinfo import ZoneInfo

from opsbook.watch.public import Health, Page, Part, Planned, Problem
from opsbook.watch.public_days import Day

WORDS: dict[Health, str] = {
    "well": "works", "impaired": "impaired", "down": "not available", "maintenance": "maintenance",
    "unknown": "not known",
}  # fmt: skip
STAGE = {
    "investigating": "We are looking into it", "identified": "We know the cause",
    "watching": "We watch whether it lasts", "resolved": "Over",
}  # fmt: skip
SLIGHT = 0.999
"""A day with less of a fault than this looks well: its figure says the rest."""
REFRESH_SECONDS = 60
STEERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that are not seen and turn around how others are read; a name of a component may come from anywhere."""


def as_html(page: Page) -> str:
    """The whole file."""
    zone = ZoneInfo(page.zone)
    body = [f"<h1>{escape(page.title)}</h1>", f'<p class="now {page.health}" role="status">{escape(page.headline)}</p>']
    body += [_planned(one, zone) for one in page.planned]
    going = [one for one in page.problems if one.ended is None]
    body += [_problem(one, zone) for one in going]
    body += ["<h2>Services</h2>", '<ul class="parts">', *(_part(one) for one in page.parts), "</ul>", _legend(page)]
    past = [one for one in page.problems if one.ended is not None]
    body.append("<h2>The last 14 days</h2>")
    body += [_problem(one, zone) for one in past] or [f"<p>No {'other ' if going else ''}problems were reported.</p>"]
    contact = f" Questions: {escape(page.contact)}." if page.contact else ""
    body.append(f"<footer>As of {_time(page.at, zone)} ({escape(page.zone)}).{contact}</footer>")
    return _frame(page.title, "\n".join(body))


def escape(text: str) -> str:
    """Text of people, within a page."""
    return escape_html(STEERS.sub("", text))


def _part(part: Part) -> str:
    measured = sum(1 for day in part.days if day.uptime is not None)
    days = f"{measured} days" if measured == len(part.days) else f"{measured} of {len(part.days)} days"
    share = "no data" if part.uptime is None else f"{_percent(part.uptime)} up in {days}"
    head = (
        f'<span class="name">{escape(part.name)}</span> '
        f'<span class="mark {part.health}">{WORDS[part.health]}</span><span class="share">{share}</span>'
    )
    return f'<li><div class="head">{head}</div>{"".join(_bars(part))}</li>'


def _bars(part: Part) -> Iterator[str]:
    """One bar a day; a picture for those who see it, its sentence for those who do not."""
    gaps = sum(1 for day in part.days if day.uptime is None)
    bad = [day for day in part.days if day.uptime is not None and day.uptime < 1]
    told = f"{part.name}: {len(bad)} days with a failure, {gaps} days without data"
    width = 6 * len(part.days) - 2
    yield f'<svg viewBox="0 0 {width} 30" preserveAspectRatio="none" role="img" aria-label="{escape(told)}">'
    for n, day in enumerate(part.days):
        kind, height = _kind(day)
        yield (
            f'<rect class="{kind}" x="{n * 6}" y="{30 - height}" width="4" height="{height}">'
            f"<title>{day.day.isoformat()}: {_told(day)}</title></rect>"
        )
        if day.maintenance and kind != "planned":
            yield f'<rect class="planned" x="{n * 6}" y="18" width="4" height="12"></rect>'
    yield "</svg>"


def _kind(day: Day) -> tuple[str, int]:
    if day.uptime is None:
        return ("planned", 30) if day.maintenance else ("gap", 8)
    if day.uptime >= SLIGHT:
        return "good", 30
    return ("care", 30) if day.uptime >= 0.95 else ("bad", 30)


def _told(day: Day) -> str:
    share = "no data" if day.uptime is None else f"{_percent(day.uptime)} up"
    return share + (", planned maintenance" if day.maintenance else "")


def _percent(share: float) -> str:
    # Never rounded up to a hundred: who was down for a minute reads that they were.
    return "100 %" if share == 1 else f"{min(share * 100, 99.99):.2f} %"


def _legend(page: Page) -> str:
    count = len(page.parts[0].days) if page.parts else 0
    keys = [
        ("good", "works"),
        ("care", "failed briefly"),
        ("bad", "failed"),
        ("planned", "maintenance"),
        ("gap", "no data"),
    ]
    marks = " ".join(f'<span class="key"><i class="{kind}"></i>{word}</span>' for kind, word in keys)
    return f'<p class="legend">One bar a day, {count} days, today at the right. {marks}</p>' if count else ""


def _problem(one: Problem, zone: ZoneInfo) -> str:
    ended = f" to {_time(one.ended, zone)}" if one.ended else ""
    said = "".join(
        f"<li><strong>{STAGE[each.stage]}</strong> <small>{_time(each.at, zone)}</small><br>{_lines(each.text)}</li>"
        for each in one.statements
    )
    kind = "past" if one.ended else "going"
    return (
        f'<article class="{kind}"><h3>{escape(one.title)}</h3><p><small>{_time(one.begun, zone)}{ended}</small></p>'
        f"<ol>{said}</ol></article>"
    )


def _planned(one: Planned, zone: ZoneInfo) -> str:
    word = "Maintenance goes on" if one.goes_on else "Planned maintenance"
    title = f": {escape(one.title)}" if one.title else ""
    affects = f" Affected: {escape(', '.join(one.parts))}." if one.parts else " All services are affected."
    until = one.until.astimezone(zone)
    same = until.date() == one.start.astimezone(zone).date()
    end = f"{until:%H:%M}" if same else _time(one.until, zone)
    return (
        f'<article class="planned"><h3>{word}{title}</h3>'
        f"<p>{_time(one.start, zone)} to {end} ({escape(zone.key)}).{affects}</p></article>"
    )


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.splitlines())


def _time(at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f'<time datetime="{at.isoformat(timespec="seconds")}">{local:%Y-%m-%d %H:%M}</time>'


def _frame(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<link rel="alternate" type="application/json" href="status.json">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


@cache
def _style() -> str:
    return files("opsbook.watch").joinpath("public_page.css").read_text(encoding="utf-8")
