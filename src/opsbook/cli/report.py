"""`opsbook report`: pages for people who were not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option
from opsbook.cli.report_capacity import capacity
from opsbook.cli.report_operations import commands

if TYPE_CHECKING:
    from opsbook.recovery.report import Kept, Promised, Report


@click.group("report", cls=Verbs)
def command() -> None:
    """Write a report for people who were not there."""


@command.command("recovery")
@book_options
@format_option("text", "html", "json")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the report into this file.")
def recovery(book: str | None, env: str | None, output: str, out: Path | None) -> int:
    """Every promise about recovery with its last proof and its trend, what is unproven, and the backups that are kept.

    Exit codes: 0 every promise is proven, 1 one is missed or unproven, 2 wrong usage, 3 the file cannot be written.
    """
    from opsbook.errors import OpsbookError
    from opsbook.recovery.report import report
    from opsbook.recovery.report_page import as_html, summary

    with opened(book, env) as service:
        found = report(service.setting, service.system, service.setting.clock.now())
    if output == "text" and out is None:
        _print(found)
    else:
        text = {"html": as_html, "json": _as_json, "text": _plain}[output](found)
        if out is None:
            click.echo(text, nl=not text.endswith("\n"))
        else:
            try:
                out.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
            except OSError as error:
                raise OpsbookError(f"{out}: {error.strerror}", "name another file") from error
            say(f"{summary(found)} Written to {out}")
    return 0 if all(one.judged.standing == "proven" for one in found.promises) else 1


def _print(found: Report) -> None:
    from opsbook.cli.report_view import print_report
    from opsbook.cli.terminal import screen

    print_report(screen(), found)


def _plain(found: Report) -> str:
    import io

    from rich.console import Console

    from opsbook.cli.report_view import print_report
    from opsbook.cli.terminal import PIPE_WIDTH

    console = Console(file=io.StringIO(), width=PIPE_WIDTH, highlight=False, emoji=False)
    print_report(console, found)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def _as_json(found: Report) -> str:
    told = {
        "system": found.system.model.system,
        "environment": found.system.name,
        "at": found.at.isoformat(),
        "promises": [_promise(one) for one in found.promises],
        "unproven": list(found.unproven),
        "backups": [_kept(one) for one in found.kept],
        "holds": [{"backup": one.folder, **one.hold.model_dump(mode="json")} for one in found.holds],
    }
    return json.dumps(told, indent=2, ensure_ascii=False)


def _promise(one: Promised) -> dict[str, Any]:
    from opsbook.recovery.told import forecast_json

    forecast = one.forecast
    return {
        "objective": one.judged.name,
        "standing": str(one.judged.standing),
        "promises": [{**vars(promise), "standing": str(promise.standing)} for promise in one.judged.promises],
        "drills": [
            {**vars(row), "phases": json.loads(row.phases), "problems": json.loads(row.problems)} for row in one.drills
        ],
        "forecast": forecast_json(forecast) if forecast else None,
    }


def _kept(one: Kept) -> dict[str, Any]:
    from opsbook.recovery.pruning import rules

    return {
        "backup": one.backup.id,
        "of": one.backup.of,
        "method": one.backup.method,
        "keeps": rules(one.backup.keep),
        "problem": one.problem,
        "stores": [
            {"address": store.address,
             "backups": [{"stamp": each.stored.manifest.stamp, "kept": each.kept, "why": each.why,
                          "proven": each.stored.verified() is not None} for each in store.chosen]}
            for store in one.stores
        ],
    }  # fmt: skip


command.add_command(capacity)
for one in commands():
    command.add_command(one)
