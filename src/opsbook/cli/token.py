"""`opsbook token`: who may come in over the network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from datetime import timedelta


@click.group("token", cls=Verbs)
def command() -> None:
    """Make, list and revoke the tokens of the API."""


@command.command("make")
@click.argument("name")
@book_options
@format_option("text", "json")
@click.option(
    "--role", default="viewer", show_default=True, help="viewer, responder, operator or admin: the most it lets one do."
)
@click.option("--scope", "scopes", multiple=True, metavar="SUBJECT", help="Only this subject, as in runs; repeatable.")
@click.option("--system", "systems", multiple=True, metavar="NAME", help="Only this system; may be repeated.")
@click.option("--for-env", "environments", multiple=True, metavar="NAME", help="Only this environment; repeatable.")
@click.option("--expires", metavar="TIME", default="90d", show_default=True, help="How long it lasts, at most a year.")
@click.option("--owner", metavar="NAME", default="", help="Who acts with it (default: you); for others by an admin.")
def make(
    name: str,
    book: str | None,
    env: str | None,
    output: str,
    role: str,
    scopes: tuple[str, ...],
    systems: tuple[str, ...],
    environments: tuple[str, ...],
    expires: str,
    owner: str,
) -> int:
    """Make a token named NAME and print it. It is shown this once: the store keeps only its hash.

    Whatever its role, it lets nobody do more than the book's `access` gives its owner.
    """
    from opsbook.api.tokens import Bounds, told
    from opsbook.api.tokens import make as make_token
    from opsbook.book.words import nearest
    from opsbook.errors import UsageError

    with opened(book, env) as service:
        model = service.system.model
        for one in environments:
            if one not in model.environments:
                raise UsageError(f"there is no environment named {one!r}", nearest(one, model.environments))
        bounds = Bounds(role, scopes, systems, environments)
        text, row = make_token(service.setting, model.access, service.actor, name, bounds, _time(expires), owner)
        shown = {"text": text, **told(row, service.setting.now())}
    if output == "json":
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        say(f"token {row.id} of {row.owner}, {row.role}; keep it now, it is not shown again")
        click.echo(text)
    return 0


@command.command("list")
@book_options
@format_option("table", "json")
@click.option("--all", "everything", is_flag=True, help="Those that were revoked or have expired too.")
def list_(book: str | None, env: str | None, output: str, everything: bool) -> int:
    """List the tokens: whose, what they let one do, until when, and when they were last used."""
    from opsbook.api.tokens import told
    from opsbook.store.database import reading
    from opsbook.store.tokens import listed

    with opened(book, env) as service:
        now = service.setting.now()
        with reading(service.setting.store) as connection:
            found = [told(one, now) for one in listed(connection) if everything or not one.dead(now)]
    if output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found)
    return 0


@command.command("revoke")
@click.argument("token", metavar="TOKEN")
@book_options
def revoke(token: str, book: str | None, env: str | None) -> int:
    """End TOKEN, an id or a name, at once."""
    from opsbook.api.tokens import revoke as revoke_token

    with opened(book, env) as service:
        row = revoke_token(service.setting, service.system.model.access, service.actor, token)
    say(f"token {row.id} ({row.name}) of {row.owner} lets nobody in any more")
    return 0


@command.command("ping")
@click.argument("job")
@book_options
def ping(job: str, book: str | None, env: str | None) -> int:
    """Print the address under which JOB reports to `opsbook serve`: it proves itself, and needs no token.

    POST it when the job is done; with /start when it begins, /fail where it failed, or /CODE with its exit code.
    """
    from opsbook.api.pings import ping_id
    from opsbook.book.words import nearest
    from opsbook.errors import UsageError
    from opsbook.watch.links import link_key

    with opened(book, env) as service:
        system = service.system
        known = [one.id for one in system.model.jobs if one.observe is None and system.holds(one.environments)]
        if job not in known:
            raise UsageError(f"there is no job {job!r} that reports by itself", nearest(job, known))
        key = link_key(service.setting.folder)
    click.echo(f"/ping/{ping_id(key, system.model.system, system.name, job)}")
    return 0


def _time(text: str) -> timedelta:
    from datetime import timedelta

    from opsbook.book.units import Dimension, parse_quantity
    from opsbook.errors import UsageError

    try:
        quantity = parse_quantity(text)
    except ValueError as error:
        raise UsageError(f"--expires {text}: {error}", "write a time such as 90d") from error
    if quantity.dimension is not Dimension.DURATION or not 0 < quantity.value < 1e9:
        raise UsageError(f"--expires {text} is no time that a token can last", "write a time such as 90d")
    return timedelta(seconds=quantity.value)


def _print(found: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from opsbook.cli.run_view import moment
    from opsbook.cli.terminal import screen, show
    from opsbook.printable import one_line

    if not found:
        click.echo("nobody has a token; `opsbook token make NAME` makes one", err=True)
        return
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("id", "name", "owner", "role", "only", "expires", "last used", ""):
        table.add_column(heading)
    for one in found:
        only = ", ".join([*one["scopes"], *one["systems"], *one["environments"]])
        used = moment(one["used_at"]) if one["used_at"] else "never"
        state = "" if one["state"] == "lives" else one["state"]
        row = (one["id"], one["name"], one["owner"], one["role"], only, moment(one["expires_at"]), used, state)
        table.add_row(*(Text(one_line(cell)) for cell in row))
    show(screen(), table)
