"""A credential in the places that workloads read it from: found, replaced, and nothing else touched."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.system import parse_env
from opsbook.connectors.credentials.pending import ALPHABET
from opsbook.connectors.credentials.places import Credential, Place, credential_in, renewed
from opsbook.connectors.held.files import InFile
from opsbook.errors import Refused

SECRETS = st.text(ALPHABET, min_size=16, max_size=40)


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("plain", "NEW"),
        ("postgresql://shop:old@db:5432/shop?sslmode=require", "postgresql://shop_a:NEW@db:5432/shop?sslmode=require"),
        ("postgresql+asyncpg://shop:p%40ss@db/shop", "postgresql+asyncpg://shop_a:NEW@db/shop"),
        ("postgresql://shop@127.0.0.1:6432/shop", "postgresql://shop_a@127.0.0.1:6432/shop"),
        ("postgresql://shop:old@[::1]:5432/shop", "postgresql://shop_a:NEW@[::1]:5432/shop"),
    ],
)
def test_an_address_keeps_all_but_its_credential(value: str, after: str) -> None:
    assert renewed(value, Credential("shop_a", "NEW")) == after


def test_an_address_without_a_user_is_refused() -> None:
    with pytest.raises(Refused, match="no user in it"):
        renewed("postgresql://db/shop", Credential("shop_a", "NEW"))


@given(secret=SECRETS, login=st.text(min_size=1, max_size=20))
def test_what_is_put_in_is_found_again(secret: str, login: str) -> None:
    address = renewed("redis://someone:old@cache:6379/0", Credential(login, secret))
    assert credential_in(address) == Credential(login, secret)


@pytest.mark.parametrize("line", ["{}=old", "export {}='old'", '{}="old"', "  {} = old"])
@given(secret=SECRETS)
def test_only_its_own_line_of_an_env_file_changes(
    tmp_path_factory: pytest.TempPathFactory, line: str, secret: str
) -> None:
    path = tmp_path_factory.mktemp("env") / "app.env"
    before = ["# a comment with PASSWORD=old in it", "OTHER=old", line.format("PASSWORD"), "PASSWORD_FILE=/old"]
    path.write_text("\n".join(before) + "\n")
    asyncio.run(Place(InFile(path), "PASSWORD").put(Credential("", secret)))
    after = path.read_text().splitlines()
    assert [*after[:2], *after[3:]] == [*before[:2], *before[3:]]
    assert parse_env(path.read_text())["PASSWORD"] == secret


def test_a_file_keeps_its_mode_and_is_never_half_written(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("old\n")
    path.chmod(0o640)
    asyncio.run(Place(InFile(path)).put(Credential("", "new")))
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["password"]
