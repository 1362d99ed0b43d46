"""Signed links that acknowledge."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.errors import Refused
from opsbook.watch.links import LASTS, Link, LinkKeyFailed, link_key, make, verify

NOW = datetime(2026, 1, 5, tzinfo=UTC)
KEY = b"k" * 64


def read(address: str) -> Link:
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return Link(unquote(parts.path.rpartition("/")[2]), query.get("who", ""), int(query["until"]), query["sign"])


WORDS = st.text(st.characters(categories=("L", "N", "P", "Zs"), max_codepoint=0x2FFF), min_size=1)


@given(WORDS, WORDS)
def test_a_link_holds_for_what_it_was_made_for(incident: str, who: str) -> None:
    assert verify(KEY, read(make(KEY, incident, who, NOW)), NOW) == who


def test_it_ends() -> None:
    link = read(make(KEY, "i1", "ana", NOW))
    assert verify(KEY, link, NOW + LASTS - timedelta(seconds=1)) == "ana"
    with pytest.raises(Refused, match="ended at 2026-01-06 00:00"):
        verify(KEY, link, NOW + LASTS + timedelta(seconds=1))


@pytest.mark.parametrize("changed", [{"incident": "i2"}, {"who": "bob"}, {"until": 2**40}, {"sign": "0" * 64}])
def test_whatever_is_changed_of_it_it_is_refused(changed: dict[str, object]) -> None:
    link = replace(read(make(KEY, "i1", "ana", NOW)), **changed)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="not made by this opsbook"):
        verify(KEY, link, NOW)
    with pytest.raises(Refused):
        verify(b"another", read(make(KEY, "i1", "ana", NOW)), NOW)


def test_parts_that_run_into_each_other_are_signed_apart() -> None:
    assert read(make(KEY, "i1", "ana", NOW)).sign != read(make(KEY, "i1a", "na", NOW)).sign


def test_the_key_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    first = link_key(tmp_path)
    assert link_key(tmp_path) == first and len(first) >= 32
    assert (tmp_path / "links.key").stat().st_mode & 0o077 in (0, 0o040)
    (tmp_path / "links.key").write_text("short")
    with pytest.raises(LinkKeyFailed, match="is no key"):
        link_key(tmp_path)


def test_several_that_serve_one_store_share_a_key_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert link_key(here) != link_key(there)
    monkeypatch.setenv("OPSBOOK_LINK_KEY", " " + "s" * 32 + "\n")
    assert link_key(here) == link_key(there) == b"s" * 32
    monkeypatch.delenv("OPSBOOK_LINK_KEY")
    file = tmp_path / "key"
    file.write_text("f" * 40 + "\n")
    monkeypatch.setenv("OPSBOOK_LINK_KEY_FILE", str(file))
    assert link_key(here) == link_key(there) == b"f" * 40


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"OPSBOOK_LINK_KEY": "hunter2"}, "OPSBOOK_LINK_KEY is no key"),
        ({"OPSBOOK_LINK_KEY_FILE": "/nowhere/key"}, "OPSBOOK_LINK_KEY_FILE: /nowhere/key: No such file"),
        ({"OPSBOOK_LINK_KEY_FILE": "/dev/null"}, "OPSBOOK_LINK_KEY_FILE is no key"),
        ({"OPSBOOK_LINK_KEY": "k" * 32, "OPSBOOK_LINK_KEY_FILE": "/nowhere"}, "are both set"),
    ],
)
def test_a_key_of_the_environment_that_is_none_is_refused_and_none_is_made_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LinkKeyFailed, match=told) as caught:
        link_key(tmp_path)
    assert "hunter2" not in caught.value.message and not (tmp_path / "links.key").exists()
