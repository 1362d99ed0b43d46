"""Verbs that are runs of a procedure that comes with opsbook: shown as a plan first, seen through as any run is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from opsbook.cli.engine import say
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from opsbook.engine.service import Service

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class How:
    """How a run is asked for, as `opsbook run` has it."""

    yes: bool = False
    dry_run: bool = False
    wait: bool = False
    no_wait: bool = False
    break_glass: str = ""
    output: str = "text"


def run_options(function: F) -> F:
    """The options of `opsbook run`, passed as `book`, `env` and `**how`."""
    for option in (
        click.option("--break-glass", metavar="REASON", default="", help="Pass approvals and windows; it is recorded."),
        click.option("--no-wait", is_flag=True, help="Refuse instead of waiting for another run with the same lock."),
        click.option("--wait", is_flag=True, help="Stay while the run waits for approval or for a person."),
        click.option("--dry-run", is_flag=True, help="Plan and tell what is needed, and stop there."),
        click.option("--yes", "-y", is_flag=True, help="Do not ask; only where policy lets it."),
        format_option("text", "json"),
        book_options,
    ):
        function = option(function)
    return function


def run_packaged(service: Service, name: str, values: Mapping[str, Any], how: How) -> tuple[int, str]:
    """Plan a procedure, ask, and see it through: exit code and id of its run; no id where it was only planned."""
    from opsbook.cli.plan_view import print_plan
    from opsbook.cli.run import _confirm, see_through
    from opsbook.engine.service import Wish

    plan = asyncio.run(service.plan(service.procedure(name), (), values))
    same = service.pending(plan)
    with contextlib.redirect_stdout(sys.stderr) if how.output == "json" else contextlib.nullcontext():
        if same is None or how.dry_run:
            wish = Wish(confirmed=not how.yes, break_glass=how.break_glass, no_wait=how.no_wait)
            told = Wish(confirmed=not (how.yes or how.dry_run), break_glass=how.break_glass)
            holders, locks = service.in_the_way(plan.procedure), service.lock_paths(plan.procedure)
            print_plan(plan, service.lacking(plan, told), holders, locks)
            if how.dry_run:
                return 4 if [one for one in service.lacking(plan) if one.need != "approval"] else 0, ""
            if not how.yes:
                _confirm(service, plan)
            same = service.submit(plan, wish)
            say(f"run {same.id}")
        else:
            say(f"run {same.id} of {name} has not ended ({same.state}): goes on with it")
        return see_through(service.setting, same.id, "text", wait=how.wait), same.id


def run_and_tell(service: Service, name: str, values: Mapping[str, Any], how: How) -> int:
    """`run_packaged`, with the run as JSON where that is wanted; its exit code."""
    from opsbook.engine.views import view_of

    code, run = run_packaged(service, name, values, how)
    if run and how.output == "json":
        click.echo(json.dumps(view_of(service.setting.store, run).as_json(), indent=2, ensure_ascii=False))
    return code
