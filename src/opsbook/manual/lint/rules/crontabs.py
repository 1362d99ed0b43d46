"""Crontabs: lines that cron refuses, that run at another time than is said, or that ask for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import block
from opsbook.manual.lint.facts.crontab import jobs
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB140",
    "cron-line-refused",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A crontab line that cron refuses",
    reason="crontab answers “bad minute” or “bad hour” and installs nothing: none of the jobs of the file run.",
    source="https://man7.org/linux/man-pages/man5/crontab.5.html",
    bad=block("cron", "0 25 * * * /srv/backup.sh"),
    good=block("cron", "0 23 * * * /srv/backup.sh"),
)
def cron_line_refused(context: Context) -> Iterator[Fault]:
    """Other than five fields, or numbers beyond a field's range."""
    for job in jobs(context.document):
        if job.fault and not job.command.startswith(("*", "?")):
            yield Fault(context.place(job.line), job.fault)


_DAYS = {
    "sunday": "0",
    "monday": "1",
    "tuesday": "2",
    "wednesday": "3",
    "thursday": "4",
    "friday": "5",
    "saturday": "6",
}
_SHORT = {"7": "0", "sun": "0", "mon": "1", "tue": "2", "wed": "3", "thu": "4", "fri": "5", "sat": "6"}
_CLOCK = re.compile(r"\b(\d{1,2})(?::(\d{2}))?\s*(am|pm)\b|\b([01]?\d|2[0-3]):([0-5]\d)\b", re.I)


def says_otherwise(fields: tuple[str, ...], said: str) -> str:
    """What a text promises that a schedule does not keep, or nothing. UTC offsets are not judged."""
    minute, hour, day, month, weekday = (field.lower() for field in fields)
    text = said.lower()
    every = re.search(r"\bevery (\d+) (minute|min|hour)s?\b", text)
    if every:
        unit, count = every[2][:3], every[1]
        field = minute if unit == "min" else hour
        if not re.match(rf"(?:\*|\d+-\d+|\d+)/{count}$", field) and field != "*" and not re.search(r"[,-]", field):
            return f"every {count} {every[2]}s"
        return "" if field != "*" or (unit == "min" and count == "1") or unit == "hou" else f"every {count} minutes"
    clock = _CLOCK.search(text)
    if clock and re.fullmatch(r"\d+", hour) and re.fullmatch(r"\d+", minute):
        at = int(clock[1] or clock[4])
        if clock[3]:
            at = at % 12 + (12 if clock[3] == "pm" else 0)
        past = int(clock[2] or clock[5] or 0)
        if (at, past) != (int(hour), int(minute)) and not re.search(
            r"\b(?:kst|jst|cet|cest|est|pst|ist|local)\b", text
        ):
            return f"{clock[0]}"
    named = next((name for name in _DAYS if re.search(rf"\b{name}s?\b", text)), "")
    if named and day == "*" and re.fullmatch(r"\w+", weekday) and _SHORT.get(weekday[:3], weekday) != _DAYS[named]:
        return named.capitalize()
    if re.search(r"\bweekly\b|\bevery week\b", text) and weekday == "*" and day == "*":
        return "weekly"
    if re.search(r"\bmonthly\b|\bevery month\b", text) and day == "*" and weekday == "*":
        return "monthly"
    if re.search(r"\bhourly\b|\bevery hour\b", text) and re.fullmatch(r"\d+", hour):
        return "hourly"
    if re.search(r"\bdaily\b|\bevery day\b|\bnightly\b", text) and (
        re.fullmatch(r"[\da-z]+", weekday) or re.fullmatch(r"\d+", day) or re.fullmatch(r"\d+", month)
    ):
        return "daily"
    return ""


@rule(
    "OB141",
    "schedule-says-otherwise",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A schedule that runs at another time than its comment says",
    reason="The comment is what people plan by: windows, on-call hours and RPOs are reckoned from the wrong time.",
    source="https://man7.org/linux/man-pages/man5/crontab.5.html",
    bad=block("cron", "# Every day at 2 AM\n0 3 * * * /srv/backup.sh"),
    good=block("cron", "# Every day at 3 AM\n0 3 * * * /srv/backup.sh"),
)
def schedule_says_otherwise(context: Context) -> Iterator[Fault]:
    """Comments of crontab lines and of `schedule:` in manifests: clock, weekday, daily, weekly, every N minutes."""
    for job in jobs(context.document):
        if job.fault or not job.comment:
            continue
        said = says_otherwise(job.fields, job.comment)
        if said:
            yield Fault(context.place(job.line), f"{' '.join(job.fields)} is not “{said}”, as the comment has it")
    for fence in context.document.fences():
        lines = fence.text.split("\n")
        for number, line in enumerate(lines):
            found = re.match(
                r"""\s*(?:-\s+)?(?:schedule|cron):\s*["']?((?:[\d*/,-]+\s+){4}[\d*/,A-Za-z-]+)["']?\s*(?:#\s*(.*))?$""",
                line,
            )
            if not found:
                continue
            above = re.match(r"\s*#\s*(.*)", lines[number - 1]) if number else None
            said = says_otherwise(tuple(found[1].split()), found[2] or (above[1] if above else ""))
            if said:
                yield Fault(context.place(fence.line + number), f"{found[1]} is not “{said}”, as the comment has it")


@rule(
    "OB142",
    "terminal-under-cron",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A job of cron that asks for a terminal",
    reason="cron gives no terminal: docker exec -t ends with “the input device is not a TTY”, night after night.",
    source="https://docs.docker.com/reference/cli/docker/container/exec/",
    bad=block("cron", "0 2 * * * docker exec -it db pg_dump -U shop shop > /b/shop.sql"),
    good=block("cron", "0 2 * * * docker exec db pg_dump -U shop shop > /b/shop.sql"),
)
def terminal_under_cron(context: Context) -> Iterator[Fault]:
    """exec -t in a crontab line; docker compose exec without -T."""
    for job in jobs(context.document):
        asks = re.search(r"\b(?:docker|kubectl|podman)\b[^|;&]*\bexec\s+(?:-\w+\s+)*-\w*t", job.command)
        if asks:
            yield Fault(context.place(job.line), "the input device is not a TTY under cron", Fix("leave out -t"))
