"""How often Python looks for garbage: a verb imports hundreds of modules, and none of them is any."""

from __future__ import annotations

import atexit
import gc

USUAL = gc.get_threshold()
SELDOM = 300_000
"""Objects that are made before it looks: more than a short verb makes. Up to a tenth of its time went into looking."""


def seldom() -> None:
    """For a verb that ends soon, and then leaves everything to the system: Python would look through it all once more,
    which took a third of the time of a short run."""
    gc.set_threshold(SELDOM)
    atexit.register(gc.freeze)


def as_usual() -> None:
    """For a process that stays. What was imported is set aside, and never looked through again."""
    gc.freeze()
    gc.set_threshold(*USUAL)
