"""`opsbook status-page`: what the public sees."""

from __future__ import annotations

from pathlib import Path

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option


@click.group("status-page", cls=Verbs)
def command() -> None:
    """Write the public status page, and tell the public of an incident."""


@command.command("show")
@book_options
@format_option("json", "html")
def show(book: str | None, env: str | None, output: str) -> int:
    """Print the page as it is now."""
    from opsbook.watch.status_page import data, html, page

    with opened(book, env) as service:
        found = page(service.setting, service.system, service.setting.clock.now())
    click.echo(html(found) if output == "html" else data(found), nl=False)
    return 0


@command.command("write")
@book_options
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="This folder instead of `status_page.to` of the book.",
)
def write(book: str | None, env: str | None, to: Path | None) -> int:
    """Write index.html and status.json now. `opsbook serve` does it each minute."""
    from opsbook.watch.status_page import page, publish

    with opened(book, env) as service:
        found = page(service.setting, service.system, service.setting.clock.now())
        where = publish(service.system, found, to)
    say(f"{found.headline}. Written to {where}")
    return 0


@command.command("say")
@book_options
@click.argument("incident")
@click.argument("text")
@click.option("--title", default="", metavar="TEXT", help="What the public calls it; needed the first time.")
@click.option(
    "--stage", type=click.Choice(["investigating", "identified", "watching", "resolved"]), default="investigating",
    show_default=True, help="How far you are.",
)  # fmt: skip
def say_(book: str | None, env: str | None, incident: str, text: str, title: str, stage: str) -> int:
    """Tell the public of INCIDENT. Only what is said here is shown; hosts, addresses and secrets are refused."""
    from opsbook.store.database import writing
    from opsbook.watch.incident_acts import find
    from opsbook.watch.public import STAGES
    from opsbook.watch.public import say as tell_public

    chosen = next(one for one in STAGES if one == stage)
    with opened(book, env) as service:
        setting, system = service.setting, service.system
        with writing(setting.store) as connection:
            one = find(connection, system, incident)
            tell_public(connection, system, service.actor, one, chosen, title, text, setting.clock.now())
        setting.write_head()
    say(f"the status page tells of {one.id} from its next writing on")
    return 0
