"""bash's own verdict on a block, without running it."""

from __future__ import annotations

import re
import subprocess


def parses(text: str) -> tuple[int, str] | None:
    """Row (1-based) and message of the first syntax error of `bash -n`, or None: fine, or no bash to ask."""
    try:
        run = subprocess.run(
            ["bash", "-n"],
            input=text,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"line (\d+): (.*)", run.stderr)
    return None if run.returncode == 0 or not found else (int(found[1]), found[2])
