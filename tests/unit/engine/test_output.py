"""Output is masked across the borders of pieces, and bounded, whatever comes in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from opsbook.clock import SystemClock
from opsbook.engine.output import HEAD, MASK, PIECE, TAIL, Mask, StepOutput
from opsbook.store.database import open_store, reading, writing
from opsbook.store.tables import output

SECRETS = st.lists(st.text("abc", min_size=4, max_size=7), max_size=3)


@given(SECRETS, st.lists(st.text("abcd", max_size=9), max_size=12))
def test_no_secret_is_ever_shown_wherever_it_is_cut(secrets: list[str], pieces: list[str]) -> None:
    mask = Mask(secrets)
    shown = "".join([*(mask.feed(piece) for piece in pieces), mask.flush()])
    assert not any(secret in shown for secret in secrets)


@given(SECRETS, st.text("xyz \n", max_size=60), st.integers(1, 5))
def test_what_is_no_secret_is_shown_as_it_is(secrets: list[str], text: str, size: int) -> None:
    mask = Mask(secrets)
    pieces = [text[n : n + size] for n in range(0, len(text), size)]
    assert "".join([*(mask.feed(piece) for piece in pieces), mask.flush()]) == text


def test_a_secret_in_two_pieces_is_masked() -> None:
    mask = Mask(["hunter22", "hunter"])
    assert mask.feed("my pw is hun") + mask.feed("ter2") + mask.feed("2!") + mask.flush() == f"my pw is {MASK}!"


def test_short_values_are_no_secrets() -> None:
    assert Mask(["a", ""]).whole("banana") == "banana"


def keep(store: Engine, out: StepOutput) -> None:
    writes = out.take()
    with writing(store) as connection:
        for write in writes:
            write(connection)


def stored(store: Engine) -> list[tuple[int, str]]:
    with reading(store) as connection:
        return [(row.start, row.text) for row in connection.execute(select(output).order_by(output.c.start))]


async def test_a_small_output_is_kept_as_it_is(store: Engine) -> None:
    out = StepOutput("r", "s", Mask([]), SystemClock())
    for word in ("one\n", "two\n", "three\n"):
        await out.write(word)
    keep(store, out)
    await out.write("four\n")
    out.end()
    keep(store, out)
    assert "".join(text for _, text in stored(store)) == "one\ntwo\nthree\nfour\n"
    assert len(stored(store)) == 2


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(1, 90_000), min_size=1, max_size=30), every=st.integers(1, 6))
def test_the_beginning_and_the_end_of_a_flood_are_kept(
    sizes: list[int], every: int, migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import asyncio

    store = open_store(f"sqlite:///{shutil.copy(migrated, tmp_path_factory.mktemp('store'))}")
    out = StepOutput("r", "s", Mask([]), SystemClock())
    whole = "".join(chr(97 + n % 26) * size for n, size in enumerate(sizes))

    async def write() -> None:
        at = 0
        for n, size in enumerate(sizes):
            await out.write(whole[at : at + size])
            at += size
            if n % every == 0:
                keep(store, out)
        out.end()
        keep(store, out)

    asyncio.run(write())
    pieces = stored(store)
    store.dispose()
    assert out.total == len(whole)
    assert all(whole[start : start + len(text)] == text for start, text in pieces)
    kept = sum(len(text) for _, text in pieces)
    assert kept <= HEAD + TAIL + 2 * PIECE
    assert kept >= min(len(whole), HEAD + TAIL)
    assert pieces[-1][0] + len(pieces[-1][1]) == len(whole)


async def test_a_sensitive_step_keeps_nothing(store: Engine) -> None:
    out = StepOutput("r", "s", Mask([]), SystemClock())
    out.keep_nothing()
    await out.write("the new password")
    out.end()
    assert out.take() == []


async def test_what_cannot_be_stored_as_text_is_replaced(store: Engine) -> None:
    out = StepOutput("r", "s", Mask([]), SystemClock())
    await out.write("a\x00b\udce9c")
    out.end()
    keep(store, out)
    assert stored(store)[0][1] == "a\N{REPLACEMENT CHARACTER}b?c"
