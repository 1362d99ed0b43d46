"""`opsbook procedures`: what a book can do."""

from __future__ import annotations

import json

import click

from opsbook.cli.engine import planning
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option


@click.group("procedures", cls=Verbs, invoke_without_command=True)
@book_options
@format_option("table", "json")
@click.pass_context
def command(ctx: click.Context, book: str | None, env: str | None, output: str) -> int:
    """List the procedures of the book; `opsbook procedures show NAME` tells more of one.

    Exit codes: 0 all of them can be compiled, 1 one is broken.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    from rich.table import Table
    from rich.text import Text

    from opsbook.cli.plan_view import risk_text
    from opsbook.cli.terminal import console
    from opsbook.engine.plan_told import procedures_as_json
    from opsbook.printable import one_line
    from opsbook.store.runs import newest

    with planning(book, env) as service:
        found, wrong = service.compiled()
        last = {name: newest(service.setting.store, procedure=name, limit=1) for name in found}
    if output == "json":
        told = procedures_as_json(found, wrong)
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return 1 if wrong else 0
    if not found and not wrong:
        click.echo("the book has no procedures; write one as procedures/NAME.md beside it", err=True)
        return 0
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("procedure", "risk", "steps", "last run", "title"):
        table.add_column(heading)
    for name, one in found.items():
        run = last[name][0] if last[name] else None
        state = run.state if run else "never"
        table.add_row(name, risk_text(one.risk), str(len(one.steps)), state, Text(one_line(one.title)))
    for name, mistakes in wrong.items():
        many = sum(len(set(one.found)) for one in mistakes)
        told_of = f"{many} mistake{'' if many == 1 else 's'}; opsbook procedures show {name} tells them"
        table.add_row(name, Text("broken", style="bold red"), "", "", told_of)
    console().print(table)
    return 1 if wrong else 0


@command.command("show")
@click.argument("name", metavar="PROCEDURE")
@click.option("--source", is_flag=True, help="Print its Markdown, as it would lie in the book's procedures folder.")
@book_options
@format_option("text", "json")
def show(name: str, source: bool, book: str | None, env: str | None, output: str) -> int:
    """Show a procedure: its parameters, its steps with their risks, its last runs."""
    from rich.text import Text

    from opsbook.cli.plan_view import risk_text
    from opsbook.cli.run_list import print_runs
    from opsbook.cli.terminal import console
    from opsbook.engine.record import as_json
    from opsbook.printable import lines_of, one_line
    from opsbook.store.runs import newest

    with planning(book, env) as service:
        one = service.procedure(name)
        last = newest(service.setting.store, procedure=name, limit=5)
        text = service.source(one) if source else ""
    if source:
        click.echo(text, nl=not text.endswith("\n"))
        return 0
    if output == "json":
        click.echo(json.dumps(as_json(one), indent=2, ensure_ascii=False))
        return 0
    screen = console()
    screen.print(Text.assemble((one_line(one.title), "bold"), "  ", risk_text(one.risk), (f"  {one.file}", "dim")))
    if one.prose:
        screen.print(Text("\n".join(lines_of(one.prose.strip()))))
    for parameter in one.parameters:
        need = "needed" if parameter.required else f"default {one_line(str(parameter.default))}"
        screen.print(
            Text.assemble(
                ("  " + parameter.name, "cyan"), f" {parameter.type}, {need}", (f"  {one_line(parameter.doc)}", "dim")
            )
        )
    for number, step in enumerate(one.steps, 1):
        on = f" on {step.on}" if step.on else ""
        where = (f"  {step.id}, {step.kind.value}{on}, line {step.line}", "dim")
        screen.print(Text.assemble(f"  {number}. {one_line(step.title or step.id)}  ", risk_text(step.risk), where))
    if last:
        screen.print()
        print_runs(last)
    return 0
