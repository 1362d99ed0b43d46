"""`opsbook status`: what runs, waits, failed and changed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from opsbook.cli.engine import opened
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from opsbook.engine.locks import Held
    from opsbook.store.runs import RunRow

RECENT_SECONDS = 24 * 3600.0


@click.command("status")
@book_options
@format_option("text", "json")
def command(book: str | None, env: str | None, output: str) -> int:
    """What runs and waits now, and what ended in the last day.

    Exit codes: 0 nothing needs anybody, 1 something failed or waits for somebody, 5 something is ambiguous.
    """
    from opsbook.engine.owner_lock import OwnerLock
    from opsbook.engine.states import ENDED, RunState
    from opsbook.engine.views import locks_held, summary
    from opsbook.store.runs import newest

    with opened(book, env) as service:
        lock = OwnerLock(service.setting.folder)
        owner = "" if lock.free() else lock.holder()
        recent = newest(service.setting.store, environment=service.system.name, limit=200)
        held = locks_held(service.setting.store)
    going = [run for run in recent if RunState(run.state) not in ENDED]
    ended = [run for run in recent if run.ended_at and run.ended_at > time.time() - RECENT_SECONDS]
    failed = [run for run in ended if run.state != RunState.DONE]
    if output == "json":
        told = {
            "executor": owner or None,
            "going": [summary(run, held.get(run.id, ())) for run in going],
            "ended": [*map(summary, ended)],
        }
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _print(service.system.name, owner, going, ended, held)
    if any(run.state == RunState.AMBIGUOUS for run in going):
        return 5
    return 1 if failed or any(RunState(run.state).parked for run in going) else 0


def _print(
    environment: str, owner: str, going: list[RunRow], ended: list[RunRow], held: Mapping[str, Sequence[Held]]
) -> None:
    from rich.text import Text

    from opsbook.cli.plan_view import console
    from opsbook.cli.run_list import print_runs
    from opsbook.engine.states import RunState

    screen = console()
    executing = f"{owner} executes" if owner else "nobody executes"
    screen.print(Text.assemble((environment, "bold"), (f"  {executing}", "dim")))
    if going:
        print_runs(going, held)
        stranded = [run for run in going if not RunState(run.state).parked and not owner]
        for run in stranded:
            screen.print(Text(f"  run {run.id} was interrupted → opsbook runs follow {run.id}", style="yellow"))
    else:
        screen.print(Text("nothing runs or waits", style="green"))
    if ended:
        screen.print()
        screen.print(Text("ended in the last day", style="dim"))
        print_runs(ended)
