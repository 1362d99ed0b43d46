"""Which store an address of the book means: a folder, `file:///folder`, or `s3://bucket/prefix?endpoint=…&region=…`.

Credentials of a bucket come from the variables of the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL), or as `access_key=NAME&secret_key=NAME` from variables of other names,
so that a second store may have its own. They never stand in the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.objectstore.contract import ObjectStore
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.connectors.objectstore.keys import fault
from opsbook.errors import UsageError

VARIABLES = {
    "access_key": "AWS_ACCESS_KEY_ID",
    "secret_key": "AWS_SECRET_ACCESS_KEY",  # names of variables, no secrets
    "session_token": "AWS_SESSION_TOKEN",
}
"""Word of an address → the variable that is read where the address names none."""
PLAIN = {"endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "region": ("AWS_REGION", "AWS_DEFAULT_REGION")}


def open_store(system: System, reference: Reference, below: str = "") -> ObjectStore:
    """The store that a reference of the book means, below a further folder of it. Raises UsageError, StoreUnavailable,
    MissingSecret."""
    return store_at(system.resolve(reference), system.variables, system.folder, below)


def store_at(text: str, variables: Mapping[str, str], folder: Path, below: str = "") -> ObjectStore:
    """The store at an address. Relative folders start at `folder`."""
    if text.startswith("s3://"):
        return _bucket(text, variables, below)
    if "://" in text and not text.startswith("file://"):
        scheme = text.partition(":")[0]
        raise UsageError(f"{scheme}:// is no store that opsbook knows", "write a folder, or s3://bucket/prefix")
    path = unquote(urlsplit(text).path) if text.startswith("file://") else text
    root = (folder / Path(path).expanduser()).absolute()
    return FolderStore(root / below, str(root / below))


def _bucket(text: str, variables: Mapping[str, str], below: str) -> ObjectStore:
    from opsbook.connectors.objectstore.s3 import S3Address, S3Store

    bucket, prefix, words = bucket_at(text, variables, below)
    return S3Store(S3Address(bucket, prefix, **words), f"s3://{bucket}/{prefix}".rstrip("/"))


def bucket_at(text: str, variables: Mapping[str, str], below: str = "") -> tuple[str, str, dict[str, str]]:
    """Bucket, prefix, and the words of an address with their values: those of PLAIN and of VARIABLES.

    Raises UsageError.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        raise UsageError("the address of a bucket cannot be read", "write s3://bucket/prefix") from None
    if parts.username or parts.password:
        raise UsageError(
            "an address of a bucket holds no credentials",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name variables: ?access_key=NAME&secret_key=NAME",
        )
    words = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(words) - set(VARIABLES) - set(PLAIN)):
        known = ", ".join(sorted([*VARIABLES, *PLAIN]))
        raise UsageError(f"the address of a bucket has an unknown word {unknown[0]!r}", f"known are {known}")
    prefix = "/".join(one for one in (parts.path.strip("/"), below) if one)
    if not parts.netloc or (prefix and (reason := fault(prefix))):
        told = reason if parts.netloc else "it names no bucket"
        raise UsageError(f"{parts.scheme}://{parts.netloc}{parts.path}: {told}", "write s3://bucket/prefix")
    plain = {
        name: words.get(name) or next((variables[one] for one in names if variables.get(one)), "")
        for name, names in PLAIN.items()
    }
    secret = {name: _named(words.get(name, ""), usual, variables) for name, usual in VARIABLES.items()}
    return parts.netloc, prefix, {**plain, **secret}


def _named(name: str, usual: str, variables: Mapping[str, str]) -> str:
    value = variables.get(name or usual, "")
    if name and not value:
        raise UsageError(f"the variable {name} of the bucket's address is not set", f"set {name}")
    return value
