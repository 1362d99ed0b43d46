"""`opsbook runs`: what ran and runs; follow, cancel, resolve, tick, repeat."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Literal

import click

from opsbook.cli.engine import opened, opened_for, say
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from opsbook.engine.setting import Setting
    from opsbook.engine.views import View

BOOK = click.option("--book", metavar="PATH", help="The book.yaml or its folder (default: found upwards from here).")
RUN = click.argument("run", metavar="RUN")


@click.group("runs", cls=Verbs, invoke_without_command=True)
@book_options
@format_option("table", "json")
@click.option("--procedure", metavar="NAME", default="", help="Only runs of this procedure.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.pass_context
def command(ctx: click.Context, book: str | None, env: str | None, output: str, procedure: str, limit: int) -> int:
    """List runs, newest first; or say what is to be done with one. RUN is an id, its beginning or its end.

    Runs of all environments are listed where none is named.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    from opsbook.cli.run_list import print_runs
    from opsbook.engine.executor import interrupted
    from opsbook.engine.views import locks_held, summary
    from opsbook.store.runs import newest

    with opened(book, env) as service:
        only = service.system.name if env else ""
        found = newest(service.setting.store, procedure=procedure, environment=only, limit=limit)
        held = locks_held(service.setting.store)
        left = interrupted(service.setting, found)
    if output == "json":
        click.echo(json.dumps([summary(run, held.get(run.id, ())) for run in found], indent=2, ensure_ascii=False))
    else:
        print_runs(found, held, left)
    return 0


@command.command("show")
@RUN
@BOOK
@format_option("text", "json")
def show(run: str, book: str | None, output: str) -> int:
    """Show RUN: its steps, changes, approvals, and what is to be done."""
    from opsbook.cli.run_list import print_run
    from opsbook.engine.executor import executed_by

    with opened_for(book, run) as (service, view):
        if output == "json":
            click.echo(json.dumps(view.as_json(), indent=2, ensure_ascii=False))
        else:
            print_run(view, executed=bool(executed_by(service.setting, view.run.id)))
    return 0


@command.command("log")
@RUN
@BOOK
@click.option("--step", metavar="STEP", default="", help="Only of this step.")
def log(run: str, book: str | None, step: str) -> int:
    """Print the output of the steps of RUN."""
    from opsbook.cli.run_list import print_log

    with opened_for(book, run) as (service, view):
        print_log(service.setting.store, view, step)
    return 0


@command.command("follow")
@RUN
@BOOK
@format_option("text", "json")
@click.option("--wait", is_flag=True, help="Stay while the run waits for approval or for a person.")
def follow(run: str, book: str | None, output: str, wait: bool) -> int:
    """Follow RUN; execute it where no other process does."""
    with opened_for(book, run) as (service, view):
        return _go_on(service.setting, view, output, wait=wait)


@command.command("cancel")
@RUN
@BOOK
@click.option("--reason", metavar="TEXT", default="", help="Why; it is recorded.")
@click.option("--undo", is_flag=True, help="Undo what it did, in reverse.")
@format_option("text", "json")
def cancel(run: str, book: str | None, reason: str, undo: bool, output: str) -> int:
    """Cancel RUN: end what it is in the middle of, and undo it where that is asked for."""
    from opsbook.engine import acts

    with opened_for(book, run) as (service, view):
        acts.cancel(service.setting, view, service.actor, reason, undo=undo)
        return _go_on(service.setting, view, output, wait=True)


@command.command("resolve")
@RUN
@BOOK
@click.option("--as", "decided", type=click.Choice(["done", "not-done"]), required=True, help="What became of it.")
@click.option("--note", metavar="TEXT", default="", help="How you know; it is recorded.")
@format_option("text", "json")
def resolve(run: str, book: str | None, decided: Literal["done", "not-done"], note: str, output: str) -> int:
    """Say what became of the change of RUN whose outcome is not known; the run goes on with that."""
    from opsbook.engine import acts

    with opened_for(book, run) as (service, view):
        key = acts.resolve(service.setting, view, service.actor, decided, note)
        say(f"{key} counts as {decided}")
        return _go_on(service.setting, view, output, wait=False)


@command.command("tick")
@RUN
@BOOK
@click.option("--item", type=click.IntRange(1), help="Which act, by its number (default: the next one).")
@click.option("--note", metavar="TEXT", default="", help="What there is to say of it; it is recorded.")
@format_option("text", "json")
def tick(run: str, book: str | None, item: int | None, note: str, output: str) -> int:
    """Say that an act that RUN waits for is done."""
    from opsbook.engine import acts

    with opened_for(book, run) as (service, view):
        done = acts.tick(service.setting, view, service.actor, None if item is None else item - 1, note)
        say(f"done: {done}")
        return _go_on(service.setting, view, output, wait=False)


@command.command("rerun")
@RUN
@BOOK
@click.option("--from", "first", metavar="STEP", default="", help="The first step (default: the one that failed).")
@click.option("--yes", "-y", is_flag=True, help="Do not ask; only where policy lets it.")
@click.option("--break-glass", metavar="REASON", default="", help="Pass approvals and windows; it is recorded.")
@format_option("text", "json")
def rerun(run: str, book: str | None, first: str, yes: bool, break_glass: str, output: str) -> int:
    """Run the procedure of RUN again from a step, as it was compiled then."""
    from opsbook.cli.run import see_through
    from opsbook.engine.service import Service, Wish

    with opened_for(book, run) as (desk, view):
        service = Service(desk.setting, desk.system)
        wish = Wish(confirmed=not yes, break_glass=break_glass)
        if not yes:
            click.confirm(f"run {view.run.procedure} again from {first or view.last_step}?", err=True, abort=True)
        row = asyncio.run(service.rerun(view, first, wish))
        say(f"run {row.id}")
        return see_through(service.setting, row.id, output, wait=False)


def _go_on(setting: Setting, view: View, output: str, *, wait: bool) -> int:
    """See a run through after an act; it must first be seen by whoever executes it."""
    from opsbook.cli.run import see_through

    return see_through(setting, view.run.id, output, wait=wait, from_now=True)
