"""Quantities of Kubernetes: `250m` cores, `64Mi` bytes. Format: kubernetes.io/docs/reference/…/quantity."""

from __future__ import annotations

import re

_SCALES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
           "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60}  # fmt: skip
_QUANTITY = re.compile(r"(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?P<suffix>[A-Za-z]{0,2})")


def quantity(text: str | float | None) -> float:
    """The number that a quantity means: cores, bytes, pieces. Raises ValueError for other words; nothing is 0."""
    if text is None or text == "":
        return 0.0
    match = _QUANTITY.fullmatch(str(text).strip())
    if match is None or match["suffix"] not in _SCALES:
        raise ValueError(f"{text!r} is not a quantity; write 250m, 0.5, 64Mi or 2G")
    return float(match["number"]) * _SCALES[match["suffix"]]
