"""Short manuals for the examples of rules: a text in a code block of its language."""

from __future__ import annotations


def block(tag: str, text: str) -> str:
    """A fenced block."""
    return f"```{tag}\n{text.strip(chr(10))}\n```"


def sh(text: str) -> str:
    """A shell block."""
    return block("bash", text)


def sql(text: str) -> str:
    """An SQL block."""
    return block("sql", text)


def yml(text: str) -> str:
    """A YAML block."""
    return block("yaml", text)


def promql(text: str) -> str:
    """A PromQL block."""
    return block("promql", text)
