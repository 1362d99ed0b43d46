"""`opsbook rehearse`: prove that every procedure still works, where nothing can be lost."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opsbook.cli.engine import planning, say
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from opsbook.rehearsal.conduct import Conductor
    from opsbook.rehearsal.model import Rehearsal


@click.command("rehearse")
@book_options
@click.option(
    "--procedures",
    metavar="A,B",
    default="",
    help="Only these procedures, also of opsbook's own, in this order (default: all of the book).",
)
@click.option(
    "--recovery", is_flag=True, help="Then opsbook's own of recovery: backups, verifications, restores, drills."
)
@format_option("text", "json", "junit", "html")
@click.option("--out", type=click.Path(dir_okay=False), help="Write the report into this file.")
@click.option("--keep-going", is_flag=True, help="Go on after a procedure that fails.")
def command(
    book: str | None, env: str | None, procedures: str, recovery: bool, output: str, out: str | None, keep_going: bool
) -> int:
    """Plan, run and take back every procedure of the book, in an environment that is marked disposable.

    Parameters get their `example` or default; acts of persons and approvals are answered by the rehearsal, and recorded
    so. Exit codes: 0 all work, 1 one fails or needs something, 2 wrong usage, 3 could not run, 4 not disposable.
    """
    from opsbook.rehearsal.conduct import Conductor

    chosen = [name.strip() for name in procedures.split(",") if name.strip()]
    with planning(book, env) as service:
        conductor = Conductor(service, say, keep_going)
        found = asyncio.run(_rehearse(conductor, chosen, recovery))
    _print(found, output, out)
    return 0 if found.works else 1


async def _rehearse(conductor: Conductor, chosen: list[str], recovery: bool) -> Rehearsal:
    def leave() -> None:
        if conductor.interrupted.is_set():
            raise KeyboardInterrupt
        conductor.interrupted.set()
        say("takes back what the running procedure did, and leaves; once more: at once")

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, leave)
    return await conductor.rehearse(chosen, recovery)


def _print(found: Rehearsal, output: str, out: str | None) -> None:
    from opsbook.cli.rehearse_table import print_rehearsal
    from opsbook.rehearsal import formats, page

    if output == "text":
        print_rehearsal(found, out)
        return
    text = {"json": formats.as_json, "junit": formats.as_junit, "html": page.as_html}[output](found)
    if out:
        Path(out).write_text(text + "\n", encoding="utf-8")
        say(f"{found.totals}; written to {out}")
    else:
        click.echo(text)
