"""`opsbook operations`: what can be changed, of what, at which risk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.options import format_option

if TYPE_CHECKING:
    from opsbook.operations.contract import Operation

STYLE = {"read": "dim", "safe": "green", "disruptive": "yellow", "destructive": "red"}


@click.command("operations")
@click.argument("name", required=False)
@click.option("--kind", metavar="KIND", help="Only those of this component kind.")
@format_option("table", "json", "markdown")
def command(name: str | None, kind: str | None, output: str) -> int:
    """List the changes that can be made; with a NAME (or the part before its dot), tell more of it."""
    import json

    from opsbook.operations.described import described, operation_reference
    from opsbook.operations.registry import operations

    chosen = _chosen(list(operations().values()), name, kind)
    if output == "json":
        click.echo(json.dumps([described(one) for one in chosen], indent=2, ensure_ascii=False))
    elif output == "markdown":
        click.echo(operation_reference(chosen), nl=False)
    elif len(chosen) == 1:
        _print_one(described(chosen[0]))
    else:
        _print_table(chosen)
    return 0


def _chosen(found: list[Operation], name: str | None, kind: str | None) -> list[Operation]:
    from opsbook.book.words import nearest
    from opsbook.errors import UsageError

    chosen = [one for one in found if name is None or one.spec.name == name or one.spec.name.startswith(f"{name}.")]
    if not chosen:
        names = [one.spec.name for one in found]
        raise UsageError(f"there is no operation named {name!r}", nearest(name or "", names))
    if kind is None:
        return chosen
    kinds = sorted({one for operation in found for one in operation.spec.kinds})
    if kind not in kinds:
        raise UsageError(f"nothing is changed of the kind {kind!r}", nearest(kind, kinds))
    return [one for one in chosen if kind in one.spec.kinds]


def _print_table(chosen: list[Operation]) -> None:
    from rich.table import Table
    from rich.text import Text

    from opsbook.cli.terminal import screen, show

    table = Table("operation", "risk", "of", "what it does", box=None, padding=(0, 2, 0, 0))
    for one in chosen:
        spec = one.spec
        table.add_row(spec.name, Text(str(spec.risk), style=STYLE[spec.risk]), ", ".join(spec.kinds), Text(spec.doc))
    show(screen(), table)


def _print_one(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{found['name']}[/bold]: {escape(found['doc'])}")
    again = "repeatable" if found["repeatable"] else "not repeatable"
    console.print(f"risk: {found['risk']}; of {', '.join(found['kinds'])}; {again}\n\nparameters:")
    for one in found["parameters"]:
        need = "needed" if one["needed"] else f"default {one['default'] or 'none'}"
        console.print(f"  {one['name']} ({escape(one['type'])}, {escape(need)}): {escape(one['doc'])}")
    console.print("\n" + escape(found["fence"]))
