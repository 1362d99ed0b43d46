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
        said = {
            name: value
            for name, value in ctx.params.items()
            if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        }
        ctx.default_map = dict.fromkeys(self.list_commands(ctx), said) if said else ctx.default_map
        return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The section `Verbs`, as in the help of `opsbook` itself."""
        known = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, verb.get_short_help_str(LONGEST)) for name, verb in known if verb is not None]
        if rows:
            with formatter.section("Verbs"):
                formatter.write_dl(rows)
