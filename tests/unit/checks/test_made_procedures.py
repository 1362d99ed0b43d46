"""A check may name a procedure that opsbook makes of a certificate or a rotation."""

from __future__ import annotations

from pathlib import Path

import yaml

from opsbook.book.load import load_book
from opsbook.book.system import System
from opsbook.catalogue import catalogue

BOOK = {
    "opsbook": 1,
    "system": "shop",
    "environments": {"here": {"policy": "open"}, "there": {"policy": "open"}},
    "components": {"site": {"kind": "tls", "address": "127.0.0.1:443"}},
    "certificates": [
        {
            "id": "web", "of": "site", "names": ["shop.example.org"], "webroot": "/var/www/acme",
            "certificate": "file:/tls/web.pem", "key": "file:/tls/web.key", "environments": ["here"],
        }
    ],
}  # fmt: skip


def test_it_is_known_where_its_certificate_is_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(yaml.safe_dump(BOOK))
    book = load_book(path, catalogue())
    known = {name: System(book, name, book.models.get(name, book.model)) for name in ("here", "there")}
    assert [known["here"].has_procedure(name) for name in ("renew-web", "renew-other")] == [True, False]
    assert not known["there"].has_procedure("renew-web")
