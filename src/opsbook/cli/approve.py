"""`opsbook approve`: look at the plan of a run that waits, and say yes to exactly that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from opsbook.cli.engine import attended, opened_for, say
from opsbook.cli.options import format_option

if TYPE_CHECKING:
    from opsbook.engine.views import View


@click.command("approve")
@click.argument("run", metavar="RUN")
@click.option("--book", metavar="PATH", help="The book.yaml or its folder (default: found upwards from here).")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--digest", metavar="DIGEST", default="", help="Approve only if the plan still has this digest.")
@click.option("--no-wait", is_flag=True, help="Only record it; do not execute or follow the run.")
@format_option("text", "json")
def command(run: str, book: str | None, yes: bool, digest: str, no_wait: bool, output: str) -> int:
    """Show the plan of RUN and approve it; who and which digest are recorded.

    Where no other process executes, this one goes on with the run. Exit codes as those of `opsbook run`.
    """
    from opsbook.cli.plan_view import print_plan
    from opsbook.cli.run import see_through
    from opsbook.engine import acts
    from opsbook.engine.service import Service
    from opsbook.errors import Refused, UsageError
    from opsbook.printable import one_line

    with opened_for(book, run) as (desk, view):
        service = Service(desk.setting, desk.system)
        step, wanted = acts.what_waits(view)
        print_plan(view.plan, service.lacking(view.plan), (), service.lock_paths(view.procedure))
        if step:
            _print_step(view, step)
        say(f"run {view.run.id}, asked for by {view.run.requester}: {one_line(view.run.message or view.run.state)}")
        if not yes and not digest:
            if not attended():
                raise UsageError(
                    "nobody is here to approve the plan", f"--digest {wanted[:12]} approves what was shown"
                )
            if not click.confirm(f"approve the plan {wanted[:12]} as {service.actor.name}?", err=True):
                raise Refused("it was not approved")
        acts.approve(service.setting, service.system, view, service.actor, digest or wanted)
        say(f"{service.actor.name} approved {wanted[:12]}")
        if no_wait:
            return 0
        return see_through(service.setting, view.run.id, output, wait=False)


def _print_step(view: View, name: str) -> None:
    """A step that could only be planned when it was reached."""
    import json

    from opsbook.cli.plan_view import print_step
    from opsbook.cli.terminal import console
    from opsbook.engine.record import planned_from_json

    steps = [step.id for step in view.procedure.steps]
    planned = planned_from_json(json.loads(view.steps[name].planned))
    print_step(console(), steps.index(name) + 1, view.procedure.steps[steps.index(name)], planned)
