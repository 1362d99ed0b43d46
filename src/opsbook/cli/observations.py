"""`opsbook observations`: what can be observed, of what, in which unit, at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.options import format_option

if TYPE_CHECKING:
    from opsbook.book.catalogue import ObservationSpec


@click.command("observations")
@click.argument("name", required=False)
@click.option("--kind", metavar="KIND", help="Only those of this component kind.")
@format_option("table", "json", "markdown")
def command(name: str | None, kind: str | None, output: str) -> int:
    """List the facts that can be observed; with a NAME (or the part before its dot), tell more of it."""
    import json

    from opsbook.book.observed import described, observation_reference
    from opsbook.catalogue import catalogue

    specs = list(catalogue().observations.values())
    chosen = _chosen(specs, name, kind)
    if output == "json":
        click.echo(json.dumps([described(spec) for spec in chosen], indent=2, ensure_ascii=False))
    elif output == "markdown":
        click.echo(observation_reference(chosen), nl=False)
    elif len(chosen) == 1:
        _print_one(described(chosen[0]))
    else:
        _print_table(chosen)
    return 0


def _chosen(specs: list[ObservationSpec], name: str | None, kind: str | None) -> list[ObservationSpec]:
    from opsbook.book.words import nearest
    from opsbook.errors import UsageError

    found = [spec for spec in specs if name is None or spec.name == name or spec.name.startswith(f"{name}.")]
    if not found:
        raise UsageError(f"there is no observation named {name!r}", nearest(name or "", [spec.name for spec in specs]))
    if kind is None:
        return found
    kinds = sorted({one for spec in specs for one in spec.kinds})
    if kind not in kinds:
        raise UsageError(f"nothing is observed of the kind {kind!r}", nearest(kind, kinds))
    return [spec for spec in found if kind in spec.kinds]


def _print_table(specs: list[ObservationSpec]) -> None:
    from rich.table import Table

    from opsbook.cli.terminal import screen, show

    table = Table("observation", "yields", "of", "cost", "what it tells", box=None, padding=(0, 2, 0, 0))
    for spec in specs:
        table.add_row(spec.name, str(spec.dimension), ", ".join(spec.kinds), str(spec.cost), spec.doc)
    show(screen(), table)


def _print_one(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True)
    console.print(f"[bold]{found['name']}[/bold]: {escape(found['doc'])}")
    console.print(f"yields a {found['dimension']} ({escape(found['example'])}), of {', '.join(found['kinds'])}; "
                  f"cost: {found['cost']}")  # fmt: skip
    for key in ("warning", "critical"):
        if found[key]:
            console.print(f"{key} by itself: {escape(found[key])}")
    if found["parameters"]:
        console.print("\nparameters (under `with`):")
    for parameter in found["parameters"]:
        need = "needed" if parameter["needed"] else f"default {parameter['default'] or 'none'}"
        console.print(f"  {parameter['name']} ({escape(parameter['type'])}, {escape(need)}): "
                      f"{escape(parameter['doc'])}")  # fmt: skip
    console.print("\n" + escape(found["check"]))
