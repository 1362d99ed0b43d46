"""The chain outside its store: signed with the key of the book, copied in whole lines, refused where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from opsbook.store import audit
from opsbook.store.audit import Act
from opsbook.store.audit_export import Export, ExportFailed
from opsbook.store.audit_head import HeadFailed, HeadFile, verify_store
from opsbook.store.database import open_store, writing

MARCH = 1_772_500_000.0
"""In March 2026."""
MONTH = 31 * 86_400.0


def pem(key: object) -> str:
    private = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()).decode()  # type: ignore[attr-defined]


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return open_store(f"sqlite:///{tmp_path}/store.db")


@pytest.fixture
def head(tmp_path: Path) -> HeadFile:
    return HeadFile(tmp_path / "store.key", tmp_path / "head")


def act(store: Engine, count: int = 1, at: float = MARCH) -> None:
    with writing(store) as connection:
        audit.append(connection, [Act(at, "ann", "a test", f"did {n}") for n in range(count)])


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_key_of_the_book_signs_and_none_is_made(store: Engine, tmp_path: Path) -> None:
    text = pem(Ed25519PrivateKey.generate())
    head = HeadFile(tmp_path / "store.key", tmp_path / "head", lambda: text)
    act(store)
    head.check()
    head.write(store, MARCH)
    assert verify_store(store, head).broken is None
    assert not (tmp_path / "store.key").exists()
    assert lines(tmp_path / "head")[0] == {"key": head.public}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hush-hush", "is no private key"),
        (pem(generate_private_key(SECP256R1())), "is no Ed25519 key"),
    ],
    ids=["text", "another kind"],
)
def test_what_is_no_key_is_said_without_showing_it(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(HeadFailed, match=f"`audit.key` of the book {says}") as caught:
        HeadFile(tmp_path / "store.key", tmp_path / "head", lambda: text).check()
    assert "openssl genpkey" in caught.value.hint and text not in str(caught.value)


def test_a_head_that_another_key_began_is_refused_before_anything_is_done(
    store: Engine, head: HeadFile, tmp_path: Path
) -> None:
    act(store)
    head.write(store, MARCH)
    other = HeadFile(tmp_path / "store.key", tmp_path / "head", lambda: pem(Ed25519PrivateKey.generate()))
    with pytest.raises(HeadFailed, match=r"was begun with another key than `audit\.key`"):
        other.check()
    with pytest.raises(HeadFailed, match=r"Is a directory|Not a directory"):
        HeadFile(tmp_path / "store.key", tmp_path).check()


def test_records_and_heads_are_appended_once_and_by_month(store: Engine, head: HeadFile, tmp_path: Path) -> None:
    export = Export(lambda: tmp_path / "copies")
    export.check(store, MARCH)
    act(store, 2)
    for _ in range(2):
        export.append(store, head, MARCH)
    act(store, 1)
    export.append(store, head, MARCH + MONTH)
    act(store, 1)
    export.append(store, head, MARCH)
    march, april = (tmp_path / "copies" / f"audit-2026-0{n}.jsonl" for n in (3, 4))
    assert [one.get("seq", "head") for one in lines(march)] == [1, 2, "head"]
    assert [one.get("seq", "head") for one in lines(april)] == [3, "head", 4, "head"], "the clock was set back"
    signed = lines(march)[-1]["head"]
    assert isinstance(signed, dict) and (signed["seq"], signed["key"]) == (2, head.public)
    assert lines(april)[0]["hash"] == list(audit.records(store))[2].hash


def test_a_torn_line_is_cut_off_and_written_anew(store: Engine, head: HeadFile, tmp_path: Path) -> None:
    export = Export(lambda: tmp_path / "copy.jsonl")
    act(store, 3)
    export.append(store, head, MARCH)
    whole = (tmp_path / "copy.jsonl").read_bytes()
    (tmp_path / "copy.jsonl").write_bytes(whole[: whole.index(b"\n") + 20])
    export.append(store, head, MARCH)
    assert [one.get("seq") for one in lines(tmp_path / "copy.jsonl")] == [1, 2, 3, None]


def test_many_records_are_all_copied(store: Engine, head: HeadFile, tmp_path: Path) -> None:
    act(store, 2_500)
    Export(lambda: tmp_path / "copy.jsonl").append(store, head, MARCH)
    assert [one["seq"] for one in lines(tmp_path / "copy.jsonl") if "seq" in one] == list(range(1, 2_501))


def test_another_chain_and_another_file_are_refused(store: Engine, head: HeadFile, tmp_path: Path) -> None:
    export = Export(lambda: tmp_path / "copy.jsonl")
    act(store, 3)
    export.append(store, head, MARCH)
    fresh = open_store(f"sqlite:///{tmp_path}/fresh.db")
    with pytest.raises(ExportFailed, match="ends with record 3 of another audit chain"):
        export.check(fresh, MARCH)
    act(fresh, 4, MARCH + 1)
    with pytest.raises(ExportFailed, match="of another audit chain"):
        export.append(fresh, head, MARCH)
    for text in ("buy milk\n", "buy milk\nand bread", "milk"):
        (tmp_path / "notes.txt").write_text(text)
        with pytest.raises(ExportFailed, match="is no record of an audit chain"):
            Export(lambda: tmp_path / "notes.txt").check(store, MARCH)
        assert (tmp_path / "notes.txt").read_text() == text
    with pytest.raises(ExportFailed, match="cannot be copied to"):
        Export(lambda: tmp_path / "notes.txt" / "below").check(store, MARCH)
