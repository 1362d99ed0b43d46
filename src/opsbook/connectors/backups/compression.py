"""Streams made smaller and whole again: zstd, gzip, or as they are. Memory does not grow with the stream."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from typing import Literal, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Compression = Literal["zstd", "gzip", "none"]
LEVEL: dict[str, int] = {"zstd": 2, "gzip": 6, "none": 0}
"""Rows as text: level 2 of zstd is more than twice as fast as its default of 3, and hardly larger; 8 times gzip's."""
MOST = 1 << 20
"""Bytes of a piece that comes out: a few bytes may stand for gigabytes of zeros."""


class Broken(ValueError):
    """What is read is not what a compressor wrote."""


class Squeezer(Protocol):
    """Takes a stream in pieces."""

    def take(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


class Opener(Protocol):
    """Takes a compressed stream in pieces, and yields pieces of at most `MOST` bytes. Both raise Broken."""

    def take(self, data: bytes) -> Iterator[bytes]: ...
    def end(self) -> None: ...


class _Plain:
    def take(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class _ZstdSqueezer:
    def __init__(self, level: int) -> None:
        # A checksum in the frame: a damage is found by the decompressor of any tool, too.
        self._one = zstd.ZstdCompressor(
            options={
                zstd.CompressionParameter.compression_level: level,
                zstd.CompressionParameter.checksum_flag: 1,
            }
        )

    def take(self, data: bytes) -> bytes:
        return self._one.compress(data)

    def end(self) -> bytes:
        return self._one.flush()


class _GzipSqueezer:
    def __init__(self, level: int) -> None:
        self._one = zlib.compressobj(level, zlib.DEFLATED, 31)

    def take(self, data: bytes) -> bytes:
        return self._one.compress(data)

    def end(self) -> bytes:
        return self._one.flush()


class _PlainOpener:
    def take(self, data: bytes) -> Iterator[bytes]:
        yield data

    def end(self) -> None:
        """Any end is right."""


class _ZstdOpener:
    def __init__(self) -> None:
        self._one = zstd.ZstdDecompressor()

    def take(self, data: bytes) -> Iterator[bytes]:
        if self._one.eof:
            raise Broken("something follows the end of the zstd stream")
        try:
            yield self._one.decompress(data, MOST)
            while not self._one.eof and not self._one.needs_input:
                yield self._one.decompress(b"", MOST)
        except zstd.ZstdError as error:
            raise Broken(str(error)) from None
        if self._one.unused_data:
            raise Broken("something follows the end of the zstd stream")

    def end(self) -> None:
        if not self._one.eof:
            raise Broken("the zstd stream is cut")


class _GzipOpener:
    def __init__(self) -> None:
        self._one = zlib.decompressobj(31)

    def take(self, data: bytes) -> Iterator[bytes]:
        if self._one.eof:
            raise Broken("something follows the end of the gzip stream")
        try:
            yield self._one.decompress(data, MOST)
            while self._one.unconsumed_tail and not self._one.eof:
                yield self._one.decompress(self._one.unconsumed_tail, MOST)
        except zlib.error as error:
            raise Broken(str(error)) from None
        if self._one.unused_data or self._one.unconsumed_tail:
            raise Broken("something follows the end of the gzip stream")

    def end(self) -> None:
        if not self._one.eof:
            raise Broken("the gzip stream is cut")


def squeezer(how: Compression, level: int | None = None) -> Squeezer:
    """What makes a stream smaller."""
    strength = LEVEL[how] if level is None else level
    return _ZstdSqueezer(strength) if how == "zstd" else _GzipSqueezer(strength) if how == "gzip" else _Plain()


def opener(how: Compression) -> Opener:
    """What makes it whole again."""
    return _ZstdOpener() if how == "zstd" else _GzipOpener() if how == "gzip" else _PlainOpener()
