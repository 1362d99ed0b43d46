"""YAML as people read it."""

from __future__ import annotations

from typing import Any

import yaml


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice: people read these files."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  PyYAML's signature
        return True


def block(value: Any) -> str:
    """YAML in block style, keys in their order, long lines whole."""
    text = yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=10_000)
    assert isinstance(text, str)
    return text


def scalar(text: str) -> str:
    """A text in one line."""
    return yaml.safe_dump(text, width=10_000).removesuffix("\n").removesuffix("\n...")
