"""What TLS connections trust. Making a context reads a hundred certificates, so that one is made for each CA file."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from opsbook.errors import Unreachable


def client_context(ca: Path | None = None, *, insecure: bool = False, names: bool = True) -> ssl.SSLContext:
    """A context that verifies chain and host name against the CA file, or against this machine's own store.

    Without `names` it verifies the chain alone; `insecure` verifies nothing. A file that was replaced is read anew.
    Raises Unreachable where the CA file cannot be used.
    """
    try:
        written = ca.stat().st_mtime_ns if ca else 0
        return _context(ca, written, insecure, names and not insecure)
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(
            f"the CA file {ca} cannot be used: {getattr(error, 'strerror', None) or error}",
            "`ca` of the component must name a file of PEM certificates",
        ) from error


@lru_cache(maxsize=64)
def _context(ca: Path | None, written: int, insecure: bool, names: bool) -> ssl.SSLContext:  # noqa: ARG001  a part of the key
    context = ssl.create_default_context(cafile=str(ca) if ca else _fallback())
    context.check_hostname = names
    if insecure:
        context.verify_mode = ssl.CERT_NONE
    return context


def _fallback() -> str | None:
    """Minimal images have no certificate store of their own; the one that comes with the HTTP client serves then."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        return None
    import certifi

    return certifi.where()
