"""Damages a backup at random, in every way that storage and people do, and counts what is not found or not named."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from opsbook.connectors.backups.manifest import MANIFEST, SIGNATURE
from opsbook.connectors.backups.opened import opened_backup
from opsbook.errors import OpsbookError
from tests.integration.restoring import Shop

Damage = Callable[[random.Random, list[Path]], list[Path]]
"""Damages some of the files; those that it touched, whose names must be told (any one of them)."""


def flip(chance: random.Random, files: list[Path]) -> list[Path]:
    """One bit."""
    one = chance.choice([file for file in files if file.stat().st_size])
    data = bytearray(one.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    one.write_bytes(data)
    return [one]


def cut(chance: random.Random, files: list[Path]) -> list[Path]:
    """The end is missing."""
    one = chance.choice([file for file in files if file.stat().st_size])
    data = one.read_bytes()
    one.write_bytes(data[: chance.randrange(len(data))])
    return [one]


def grow(chance: random.Random, files: list[Path]) -> list[Path]:
    """Something was appended."""
    one = chance.choice(files)
    with one.open("ab") as file:
        file.write(chance.randbytes(chance.randrange(1, 50)))
    return [one]


def remove(chance: random.Random, files: list[Path]) -> list[Path]:
    one = chance.choice(files)
    one.unlink()
    return [one]


def swap(chance: random.Random, files: list[Path]) -> list[Path]:
    """Two files have each other's content."""
    while True:
        one, other = chance.sample(files, 2)
        first, second = one.read_bytes(), other.read_bytes()
        if first != second:
            one.write_bytes(second)
            other.write_bytes(first)
            return [one, other]


def blank(chance: random.Random, files: list[Path]) -> list[Path]:
    """A run of zeros, as a disk leaves behind a crash."""
    one = chance.choice([file for file in files if file.stat().st_size])
    data = bytearray(one.read_bytes())
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.randrange(1, 4096))
    if not any(data[start:end]):
        data[start] = 1
    else:
        data[start:end] = bytes(end - start)
    one.write_bytes(data)
    return [one]


KINDS: tuple[Damage, ...] = (flip, cut, grow, remove, swap, blank)


@dataclass
class Found:
    """What became of the damages."""

    tried: int = 0
    found: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return f"{self.found} of {self.tried} damages found and named ({kinds})"


def corrupt(shop: Shop, times: int, seed: int) -> Found:
    """Damage the newest backup so many times, each alone; it is whole again afterwards."""
    chance, told = random.Random(seed), Found()
    folder = shop.store / "test" / "nightly" / shop.newest_stamp()
    files = [*shop.objects(), folder / MANIFEST, folder / SIGNATURE]
    whole = {file: file.read_bytes() for file in files}
    assert problems(shop) == [], "it is whole before it is damaged"
    for number in range(times):
        kind = KINDS[number % len(KINDS)]
        touched = kind(chance, list(files))
        said = problems(shop)
        told.tried += 1
        told.kinds[kind.__name__] += 1
        if not said:
            told.wrong.append(f"{kind.__name__} of {touched[0].name} was not found")
        elif not any(_names(one, " ".join(said)) for one in touched):
            told.wrong.append(f"{kind.__name__} of {touched[0].name} is not named: {said[0]}")
        else:
            told.found += 1
        for file in touched:
            file.write_bytes(whole[file])
    assert problems(shop) == [], "it is whole again"
    return told


def _names(file: Path, said: str) -> bool:
    """A folder without a manifest is no backup: then it is the backup that is told as missing."""
    if file.name == MANIFEST and not file.exists():
        return f"there is no nightly/{file.parent.name}" in said
    return file.name in said or (file.name in (MANIFEST, SIGNATURE) and "manifest" in said)


def problems(shop: Shop) -> list[str]:
    """What a restore would find before it believed any byte."""
    try:
        with opened_backup(shop.system, "nightly", shop.newest_stamp(), shop.signer.public) as backup:
            said = [*backup.faults(), *backup.remarks()]
            for part in backup.manifest.parts:
                try:
                    backup.read(part, lambda _: None)
                except OpsbookError as error:
                    said.append(error.message)
            return said
    except OpsbookError as error:
        return [error.message]
