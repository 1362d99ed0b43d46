"""Which host names a certificate is meant for (RFC 9525)."""

from __future__ import annotations

import pytest

from opsbook.observations.tls import covers


@pytest.mark.parametrize(
    ("pattern", "name", "good"),
    [
        ("api.example.org", "api.example.org", True),
        ("API.example.org", "api.Example.org.", True),
        ("*.example.org", "api.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "a.b.example.org", False),
        ("*.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("a*.example.org", "api.example.org", False),
        ("*", "localhost", False),
        ("*.", ".", False),
    ],
)
def test_a_name_is_covered(pattern: str, name: str, good: bool) -> None:
    assert covers(pattern, name) is good
