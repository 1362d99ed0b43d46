"""Where the store lies: a file, beside the book or named, or a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsbook.errors import UsageError
from opsbook.store.database import store_address


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("", "sqlite:////srv/ops/.opsbook/store.db"),
        ("/var/lib/opsbook/store.db", "sqlite:////var/lib/opsbook/store.db"),
        ("sqlite:////var/lib/opsbook/store.db", "sqlite:////var/lib/opsbook/store.db"),
        ("sqlite:///store.db", f"sqlite:///{Path('store.db').absolute()}"),
        ("postgresql://ops@db/opsbook", "postgresql+psycopg://ops@db/opsbook"),
        ("postgres://ops@db/opsbook", "postgresql+psycopg://ops@db/opsbook"),
    ],
)
def test_it_is_named_by_a_path_or_an_address(named: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSBOOK_STORE", named)
    assert store_address(Path("/srv/ops")) == address


@pytest.mark.parametrize("named", ["mysql://db/opsbook", "sqlite://store.db", "https://store"])
def test_another_address_is_refused_and_makes_no_folder(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSBOOK_STORE", named)
    with pytest.raises(UsageError, match="cannot be a"):
        store_address(Path("/srv/ops"))
