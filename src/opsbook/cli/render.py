"""`opsbook render`: the book as one manual for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from opsbook.cli.engine import say
from opsbook.cli.options import book_options, format_option, read_system
from opsbook.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from opsbook.book.system import System


@click.command("render")
@book_options
@format_option("markdown", "html")
@click.option("--out", type=click.Path(dir_okay=False), help="Write it into this file.")
def command(book: str | None, env: str | None, output: str, out: str | None) -> int:
    """Write the whole book as one manual: Markdown, or one HTML file that needs nothing else.

    It says of every procedure when it last ran and was rehearsed, and of every promise whether it is proven. Secrets
    stay references. Exit codes: 0 written, 2 an invalid book.
    """
    from opsbook.engine.manual_facts import manual_facts
    from opsbook.manual.render.html import as_html
    from opsbook.manual.render.manual import manual_of
    from opsbook.manual.render.markdown import as_markdown

    system = read_system(book, env)
    found = manual_of(system, manual_facts(system, _store(system)))
    text = {"markdown": as_markdown, "html": as_html}[output](found)
    if out:
        try:
            Path(out).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{out}: {error.strerror}", "name a file that can be written with --out") from error
        say(f"written to {out}")
    else:
        click.echo(text, nl=False)
    return 0


def _store(system: System) -> Engine | None:
    """The store, or None with a warning: a manual can be written where nothing can be stored."""
    from opsbook.store.database import StoreFailed, open_store, store_address

    try:
        return open_store(store_address(system.folder))
    except StoreFailed as error:
        say(f"what ran is not known: {error}")
        return None
