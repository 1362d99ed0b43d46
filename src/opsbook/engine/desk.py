"""What every face works at: the setting, the book in one environment, and who acts.

It is enough to look, and to do what is no run. Whoever plans a procedure or asks for a run makes a `Service` of it:
compiler, templates and planner take as long to import as all the rest.
"""

from __future__ import annotations

from opsbook.book.system import System
from opsbook.engine.access import Actor, local_actor
from opsbook.engine.setting import Setting


class Desk:
    """One environment of one book, and one person."""

    def __init__(self, setting: Setting, system: System, actor: Actor | None = None) -> None:
        self.setting, self.system = setting, system
        self.actor = actor or local_actor()
