"""`opsbook run`: do what a procedure says, durably."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

import click

from opsbook.cli.engine import attended, parameter_options, planning, say, values_of
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from opsbook.engine.procedure import Plan
    from opsbook.engine.service import Service
    from opsbook.engine.setting import Setting
    from opsbook.engine.views import View


@click.command("run")
@parameter_options
@book_options
@format_option("text", "json")
@click.option("--yes", "-y", is_flag=True, help="Do not ask; only where policy lets it.")
@click.option("--dry-run", is_flag=True, help="Plan and tell what is needed, and stop there.")
@click.option("--wait", is_flag=True, help="Stay while the run waits for approval or for a person.")
@click.option("--no-wait", is_flag=True, help="Refuse instead of waiting for another run that holds the same lock.")
@click.option("--break-glass", metavar="REASON", default="", help="Pass approvals and windows; it is recorded.")
@click.option("--new", is_flag=True, help="Start another run even where the same one has not ended.")
def command(
    name: str,
    words: tuple[str, ...],
    params_file: str | None,
    book: str | None,
    env: str | None,
    output: str,
    yes: bool,
    dry_run: bool,
    wait: bool,
    no_wait: bool,
    break_glass: str,
    new: bool,
) -> int:
    """Run PROCEDURE: show its plan, ask, and see it through. A run that was interrupted goes on where it was.

    Exit codes: 0 done, 1 failed, undone or cancelled, 2 wrong usage, 3 could not run, 4 waits or was refused,
    5 ambiguous.
    """
    from opsbook.cli.plan_view import print_plan
    from opsbook.engine import acts
    from opsbook.engine.service import Wish
    from opsbook.engine.views import view_of

    with planning(book, env) as service:
        plan = asyncio.run(service.plan(service.procedure(name), words, values_of(params_file)))
        if (same := service.pending(plan)) and not new and not dry_run:
            if no_wait and same.started_at is None:
                service.must_be_free(plan.procedure, same.id)
            say(f"run {same.id} of {name} has not ended ({same.state}): goes on with it (--new starts another)")
            if break_glass:
                waiting = view_of(service.setting.store, same.id)
                acts.break_glass(service.setting, service.system, waiting, service.actor, break_glass)
            return see_through(service.setting, same.id, output, wait=wait)
        wish = Wish(confirmed=not yes, break_glass=break_glass, no_wait=no_wait)
        if output == "text" or not yes:
            # A person at the terminal is asked for the confirmation; who says --yes is told that it lacks.
            told = Wish(confirmed=not (yes or dry_run), break_glass=break_glass)
            holders, locks = service.in_the_way(plan.procedure), service.lock_paths(plan.procedure)
            print_plan(plan, service.lacking(plan, told), holders, locks)
        if dry_run:
            return 4 if [one for one in service.lacking(plan) if one.need != "approval"] else 0
        if not yes:
            _confirm(service, plan)
        row = service.submit(plan, wish)
        say(f"run {row.id}")
        return see_through(service.setting, row.id, output, wait=wait)


def _confirm(service: Service, plan: Plan) -> None:
    """Ask the person; where policy says so, for the environment's name."""
    from opsbook.engine.policy import rule_of
    from opsbook.errors import Refused, UsageError

    if not attended():
        raise UsageError("nobody is here to confirm it", "add --yes where policy lets it, or run it at a terminal")
    if rule_of(service.system.policy, plan.procedure.risk, plan.procedure.name).confirm:
        typed = click.prompt(f"type the name of the environment ({service.system.name}) to go on", err=True)
        if typed.strip() != service.system.name:
            raise Refused("that is not the environment's name", "nothing was done")
    elif not click.confirm("go on?", err=True):
        raise Refused("nothing was done")


def see_through(setting: Setting, run: str, output: str, *, wait: bool, from_now: bool = False) -> int:
    """Execute or follow a run, show it, and give the exit code of how it stands."""
    from opsbook.cli.run_view import RunView
    from opsbook.engine.states import EXIT_CODE, RunState
    from opsbook.engine.watcher import Watcher

    async def follow(view: RunView) -> View:
        interrupted = asyncio.Event()

        def leave() -> None:
            if interrupted.is_set():
                raise KeyboardInterrupt
            interrupted.set()
            say("leaves after the change that is being made; once more: at once")

        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, leave)
        return await Watcher(setting, view, view.tell, wait, interrupted).see_through(run)

    with RunView(setting, run if from_now else "") as view:
        last = asyncio.run(follow(view))
    _print_end(setting, last, output)
    return EXIT_CODE.get(last.state, EXIT_CODE[RunState.FAILED] if last.state.ended else 3)


def _print_end(setting: Setting, view: View, output: str) -> None:
    from rich.console import Console

    from opsbook.cli.run_view import steps_table
    from opsbook.cli.terminal import console
    from opsbook.engine.executor import executed_by
    from opsbook.printable import one_line

    if output == "json":
        click.echo(json.dumps(view.as_json(), indent=2, ensure_ascii=False))
        return
    screen: Console = console()
    screen.print(steps_table(view, executed=bool(executed_by(setting, view.run.id))))
    if view.run.message:
        screen.print(f"  {one_line(view.run.message)}", markup=False)
    if hint := next_step(view):
        screen.print(f"  → {hint}", markup=False)


def next_step(view: View) -> str:
    """What to do now, as a command."""
    from opsbook.engine.states import RunState

    run = view.run.id
    return {
        RunState.APPROVAL: f"opsbook approve {run}",
        RunState.PERSON: f"opsbook runs tick {run}",
        RunState.AMBIGUOUS: f"look at the target, then: opsbook runs resolve {run} --as done|not-done",
        RunState.FAILED: f"opsbook runs rerun {run} --from {view.last_step}",
        RunState.RUNNING: f"opsbook runs follow {run}",
    }.get(view.state, "")
