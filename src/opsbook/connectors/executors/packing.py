"""A file compressed into an object of a store, whole or not at all."""

from __future__ import annotations

from typing import IO

from opsbook.connectors.backups.compression import LEVEL, squeezer
from opsbook.connectors.objectstore.contract import ObjectStore

PIECE = 1 << 20


def pack(store: ObjectStore, key: str, file: IO[bytes]) -> None:
    """All of a file from its beginning, by zstd. What is cut off leaves no object."""
    writing, packer = store.begin(key), squeezer("zstd", LEVEL["zstd"])
    try:
        file.seek(0)
        while piece := file.read(PIECE):
            writing.write(packer.take(piece))
        writing.write(packer.end())
        writing.commit()
    except BaseException:
        writing.abort()
        raise
