"""What is no address of a web server is told, and its value is not: it may come from a secret."""

from __future__ import annotations

import asyncio

import pytest

from opsbook.connectors.http_client import HttpClient, what_is_wrong
from opsbook.errors import UsageError


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("http://127.0.0.1:8000/health", ""),
        ("https://[::1]:8443", ""),
        ("http://127.0.0.1:99999", "its port is not 0 to 65535"),
        ("http://shop:web", "its port is not 0 to 65535"),
        ("hunter2", "it does not begin with http:// or https://"),
        ("root:x:0:0\nbin:x:1:1", "it does not begin with http:// or https://"),
        ("http://[::1", "it cannot be read"),
        ("http:///path", "it has no host"),
        ("http://a b/", "it has no host"),
    ],
)
def test_it_says_why_an_address_is_none(url: str, wrong: str) -> None:
    assert what_is_wrong(url) == wrong


@pytest.mark.parametrize("url", ["http://user:hunter2@127.0.0.1:99999", "hunter2", "hunter2\nhunter2"])
def test_it_never_tells_the_value(url: str) -> None:
    with pytest.raises(UsageError, match="is not an address") as told:
        asyncio.run(HttpClient(url).get("/health"))
    assert "hunter2" not in str(told.value)
