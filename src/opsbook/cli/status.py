"""`opsbook status`: the screen of the night."""

from __future__ import annotations

import json

import click

from opsbook.cli.engine import opened
from opsbook.cli.options import book_options, format_option


@click.command("status")
@book_options
@format_option("text", "json")
def command(book: str | None, env: str | None, output: str) -> int:
    """What fires since when and who has it, what changed, what runs and waits, who is on call, what is unproven.

    It reads the store alone: it answers when nothing else does, and says where nobody watches.

    Exit codes: 0 nothing needs anybody, 1 something fires, failed, was cut off or waits for somebody,
    5 something is ambiguous.
    """
    from opsbook.engine.views import locks_held
    from opsbook.watch.status import as_json, status

    with opened(book, env) as service:
        found = status(service.setting, service.system)
        held = locks_held(service.setting.store)
    if output == "json":
        click.echo(json.dumps(as_json(found), indent=2, ensure_ascii=False))
    else:
        from opsbook.cli.status_view import print_status
        from opsbook.cli.terminal import screen

        print_status(screen(), found, held)
    return found.exit_code
