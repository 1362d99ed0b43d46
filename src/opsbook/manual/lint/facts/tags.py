"""The words behind the marks of a block, and the language that they promise."""

from __future__ import annotations

TAGGED = {
    "bash": "shell",
    "sh": "shell",
    "shell": "shell",
    "console": "shell",
    "python": "python",
    "py": "python",
    "sql": "SQL",
    "json": "JSON",
    "promql": "PromQL",
    "zsh": "shell",
}
