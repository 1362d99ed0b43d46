"""A verb with verbs of its own: its help tells each of them in a whole sentence."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

LONGEST = 400
"""Characters of a first sentence; click itself cuts it where the line ends, often before it has said anything."""


class Verbs(click.Group):
    """Lists its verbs with the first sentence of each, broken into lines; its options hold for them too."""

    def invoke(self, ctx: click.Context) -> Any:
        """Hands on what was said before the verb: `incident --env staging ack` acknowledges there, not elsewhere."""
        said = [
            (one, ctx.params[one.name])
            for one in self.get_params(ctx)
            if one.name in ctx.params and ctx.get_parameter_source(one.name) is ParameterSource.COMMANDLINE
        ]
        if said:
            known = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
            ctx.default_map = {name: _taken(ctx, verb, said) for name, verb in known if verb is not None}
        return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The section `Verbs`, as in the help of `opsbook` itself."""
        known = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, verb.get_short_help_str(LONGEST)) for name, verb in known if verb is not None]
        if rows:
            with formatter.section("Verbs"):
                formatter.write_dl(rows)


def _taken(ctx: click.Context, verb: click.Command, said: list[tuple[click.Parameter, Any]]) -> dict[str, Any]:
    """What of it a verb has an option for that takes it: a list is a `table`, and one of it a `text`."""
    taken: dict[str, Any] = {}
    for one in verb.get_params(ctx):
        for before, value in said:
            alike = set(one.opts) & set(before.opts) and (one.nargs, one.multiple) == (before.nargs, before.multiple)
            if one.name and isinstance(one, click.Option) and alike:
                try:
                    one.type_cast_value(ctx, value)
                except click.BadParameter:
                    continue
                taken[one.name] = value
    return taken
