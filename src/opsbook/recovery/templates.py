"""Texts of `procedures/`, with the names of a book put in."""

from __future__ import annotations

from functools import partial

from opsbook.engine.packaged_text import filled_from

filled = partial(filled_from, "opsbook.recovery")
