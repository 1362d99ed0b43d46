"""Texts that stand for a value: what a reader is to fill in."""

from __future__ import annotations

import re

#: Whole words that are no value: <…>, $…, xxx, changeme, your-…
PLACEHOLDER = re.compile(
    (
        r"^(?:<.*>|\$.*|\{\{.*|\[.*\]|x{2,}|\*{2,}|\.{3}|…|your[-_ ].*|change[-_]?me.*|replace.*|"
        r"example.*|placeholder|redacted|password|secret|new[-_ ]?(?:secure[-_])?(?:password|"
        r"secret).*|.*_?here|)$"
    ),
    re.I,
)
