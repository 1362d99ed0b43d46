"""Texts of `procedures/`, with the names of a book put in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from opsbook.engine.packaged_text import filled_from

filled = partial(filled_from, "opsbook.upkeep")

RESTART = """\
{number}. {component} reads it only when it starts.

   ```op id=restart-{component}{again} timeout=15m
   workload.restart: {{of: {component}}}
   ```
"""


def restarted(components: Sequence[str], first: int, again: str = "") -> str:
    """Numbered steps that restart each of them. `again` ends their ids where they are restarted a second time."""
    return "\n".join(RESTART.format(number=first + n, component=name, again=again) for n, name in enumerate(components))
