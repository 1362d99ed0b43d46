"""An S3-compatible bucket as a store of objects, through obstore (the extra `s3`).

Large objects go up in parts of a bounded size, which the library tries again over network errors; nobody sees an object
before its last part has arrived. What a died upload leaves in the bucket is hidden: a lifecycle rule of the bucket
removes incomplete multipart uploads.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, BinaryIO, cast

from opsbook.connectors.objectstore.contract import ObjectFailed, ObjectMissing, Stored, StoreUnavailable
from opsbook.connectors.objectstore.keys import checked
from opsbook.errors import OpsbookError

UPLOAD_PART = 16 << 20
"""Bytes of one part of an upload: with S3's 10,000 parts an object may have 156 GiB."""
AT_ONCE = 2
"""Parts that are under way at the same time; each is held in memory."""
PIECE = 1 << 20
"""Bytes that are read at a time."""
NO_RANGES = "non-partial response"
CREDENTIALS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and the rights of this key to the bucket"
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds before a reading that broke is taken up again; doubled each time."""
TRIES, TRY_SECONDS = 6, 60
REQUEST_SECONDS = 60
_STATUS = re.compile(r"<Code>(\w+)</Code>|status code: (\d+ [A-Za-z ]+)")
_DENIED = ("SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied", "ExpiredToken", "403 ", "401 ")


@dataclass(frozen=True)
class S3Address:
    """Where a bucket is, and as whom it is opened. Credentials that are empty are looked for as the library does."""

    bucket: str
    prefix: str
    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""

    def __repr__(self) -> str:
        return f"S3Address({self.bucket}/{self.prefix})"


class S3Store:
    """Objects below one prefix of one bucket."""

    def __init__(self, where: S3Address, address: str) -> None:
        self.where, self.address = where, address
        self._library = _library()
        self.errors = (self._library.exceptions.BaseError, OSError, ValueError)
        self._bucket = self._opened(where)

    def begin(self, key: str) -> S3Writing:
        return S3Writing(self, checked(key))

    def put(self, key: str, data: bytes, *, only_new: bool = False, content_type: str = "") -> None:
        if only_new and self._there(checked(key)):
            # Asked first too: not every server of this protocol knows conditional writes.
            raise self._exists(key)
        try:
            mode, told = "create" if only_new else "overwrite", {"Content-Type": content_type} if content_type else None
            self._library.put(self._bucket, checked(key), data, mode=mode, attributes=told)
        except self.errors as error:
            raise self.failed(key, error) from None

    def open(self, key: str, start: int = 0) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Reader(self, key, self._size(key), start), PIECE))

    def get(self, key: str, limit: int = 64 << 20) -> bytes:
        try:
            answer = self._library.get(self._bucket, checked(key))
            if answer.meta["size"] > limit:
                raise ObjectFailed(f"{self.address}/{key} is larger than {limit:,} bytes", "was it written by opsbook?")
            return bytes(answer.bytes())
        except self.errors as error:
            raise self.failed(key, error) from None

    def list(self, prefix: str = "") -> Iterator[Stored]:
        try:
            for page in self._library.list(self._bucket, checked(prefix) if prefix else None, chunk_size=1000):
                for one in page:
                    yield Stored(one["path"], one["size"], one["last_modified"])
        except self.errors as error:
            raise self.failed(prefix, error) from None

    def delete(self, key: str) -> None:
        try:
            self._library.delete(self._bucket, checked(key))
        except FileNotFoundError:
            return
        except self.errors as error:
            raise self.failed(key, error) from None

    def close(self) -> None:
        """The library's connections end with it."""

    def failed(self, key: str, error: Exception) -> OpsbookError:
        """An error of the library in the words of this room."""
        where = f"{self.address}/{key}" if key else self.address
        if isinstance(error, FileNotFoundError):
            return ObjectMissing(f"{where} is not there", "was it removed by hand?")
        kinds = self._library.exceptions
        words = self._words(error)
        if isinstance(error, kinds.AlreadyExistsError | kinds.PreconditionError):
            return self._exists(key)
        refused = isinstance(error, kinds.PermissionDeniedError | kinds.UnauthenticatedError)
        if refused or any(mark in words for mark in _DENIED):
            return StoreUnavailable(
                f"{where}: the store refuses the credentials ({words})",
                CREDENTIALS,
            )
        if "NoSuchBucket" in words:
            return StoreUnavailable(f"{where}: there is no such bucket", f"make the bucket {self.where.bucket}")
        if isinstance(error, kinds.GenericError) and not _STATUS.search(str(error)):
            return StoreUnavailable(f"{where}: {words}", "can this host reach the endpoint? is it right?")
        return ObjectFailed(f"{where}: {words}", "try again; look at the store's own log where it stays so")

    def _words(self, error: Exception) -> str:
        """What the server or the network said, in a line and without secrets."""
        text = str(error).partition("\n\nDebug source")[0]
        if found := _STATUS.search(text):
            words = (found[1] or found[2] or "").strip()
        else:
            words = re.sub(r"^Generic S3 error: ", "", " ".join(text.split()))[:300]
        for secret in (self.where.secret_key, self.where.session_token):
            words = words.replace(secret, "***") if len(secret) >= 4 else words
        return words

    def _opened(self, where: S3Address) -> Any:
        from obstore.store import S3Store as Bucket

        options: dict[str, Any] = {"region": where.region or "us-east-1"}
        given = {
            "endpoint": where.endpoint,
            "access_key_id": where.access_key,
            "secret_access_key": where.secret_key,
            "session_token": where.session_token,
        }
        options |= {name: value for name, value in given.items() if value}
        try:
            return Bucket(
                where.bucket,
                prefix=where.prefix or None,
                client_options={"allow_http": where.endpoint.startswith("http:"), "timeout": f"{REQUEST_SECONDS}s"},
                retry_config={"max_retries": TRIES, "retry_timeout": timedelta(seconds=TRY_SECONDS)},
                **options,
            )
        except self.errors as error:
            raise self.failed("", error) from None

    def _there(self, key: str) -> bool:
        try:
            self._size(key)
        except ObjectMissing:
            return False
        return True

    def _size(self, key: str) -> int:
        try:
            return int(self._library.head(self._bucket, checked(key))["size"])
        except self.errors as error:
            raise self.failed(key, error) from None

    def _exists(self, key: str) -> ObjectFailed:
        return ObjectFailed(f"{self.address}/{key} is there already", "another one was faster; look at it")

    def stream(self, key: str, start: int) -> Iterator[bytes]:
        """The bytes of an object from a place on, as they arrive; raises the library's errors where it breaks."""
        options = {"range": {"offset": start}} if start else None
        try:
            answer, skip = self._library.get(self._bucket, checked(key), options=options), 0
        except self._library.exceptions.GenericError as error:
            if NO_RANGES not in str(error):
                raise
            # Some servers answer a range in a way that the library does not believe: read again from the start.
            answer, skip = self._library.get(self._bucket, checked(key)), start
        for piece in answer.stream(min_chunk_size=PIECE):
            data = bytes(piece)
            if skip:
                data, skip = data[skip:], max(0, skip - len(data))
            yield data

    def writer(self, key: str) -> Any:
        """The library's own writer."""
        return self._library.open_writer(self._bucket, key, buffer_size=UPLOAD_PART, max_concurrency=AT_ONCE)


class S3Writing:
    """An upload in parts."""

    def __init__(self, store: S3Store, key: str) -> None:
        self.store, self.key = store, key
        self._writer: Any = store.writer(key)

    def write(self, data: bytes) -> int:
        try:
            self._writer.write(data)
        except self.store.errors as error:
            raise self.store.failed(self.key, error) from None
        return len(data)

    def commit(self) -> None:
        writer, self._writer = self._writer, None
        try:
            writer.close()
        except self.store.errors as error:
            raise self.store.failed(self.key, error) from None

    def abort(self) -> None:
        # Closing would complete the upload: it is let go of instead.
        self._writer = None


class _Reader(io.RawIOBase):
    """Reads as the bytes arrive; where the connection breaks, it goes on from there."""

    def __init__(self, store: S3Store, key: str, size: int, start: int) -> None:
        self.store, self.key, self.size, self.at = store, key, size, start
        self._stream: Iterator[bytes] | None = None
        self._rest = memoryview(b"")
        self._broken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.at >= self.size:
            return 0
        if not self._rest:
            self._rest = memoryview(self._next())
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        self.at += size
        return size

    def _next(self) -> bytes:
        while True:
            try:
                if self._stream is None:
                    self._stream = self.store.stream(self.key, self.at)
                if data := next((piece for piece in self._stream if piece), b""):
                    self._broken = 0
                    return data
                raise OSError(f"it ended after {self.at:,} of {self.size:,} bytes")
            except self.store.errors as error:
                self._stream = None
                self._broken += 1
                said = self.store.failed(self.key, error)
                if self._broken >= TRIES or isinstance(said, ObjectMissing) or said.hint == CREDENTIALS:
                    raise said from None
                time.sleep(min(FIRST_PAUSE * 2**self._broken, LONGEST_PAUSE))


def _library() -> Any:
    try:
        import obstore
        import obstore.exceptions
    except ImportError:
        raise StoreUnavailable("a store at s3:// needs obstore", "pip install 'opsbook[s3]'") from None
    return obstore
