"""Looking up host names as this machine does (hosts file, resolver order), without ever being held up by it."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from functools import lru_cache

from opsbook.connectors.blocking import on_thread
from opsbook.errors import Unreachable

Address = tuple[int, str]
"""Address family and numeric address."""


@lru_cache(maxsize=4096)
def literal(host: str) -> Address | None:
    """The address that is written in place of a name; None for a name."""
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    return (socket.AF_INET6 if ip.version == 6 else socket.AF_INET), str(ip)


async def addresses(host: str) -> list[Address]:
    """Every address of the name, in the order in which this machine would try them. Raises Unreachable."""
    if found := literal(host):
        return [found]
    try:
        infos = await on_thread(("name", host), socket.getaddrinfo, host, None, 0, socket.SOCK_STREAM)
    except UnicodeError as error:
        raise Unreachable(f"{host!r} is not a host name", "correct the address in book.yaml") from error
    except socket.gaierror as error:
        raise Unreachable(
            f"the name {host} does not resolve: {error.strerror}", f"check it with `getent hosts {host}`"
        ) from error
    return list(dict.fromkeys((info[0], str(info[4][0])) for info in infos))


async def connect(host: str, port: int, patience: float = 3.0) -> tuple[socket.socket, str]:
    """A connected TCP socket and the address it is connected to; `patience` is what each further address costs at most.

    Raises Unreachable with the operating system's own words.
    """
    return await connect_to(await addresses(host), host, port, patience)


async def connect_to(found: list[Address], host: str, port: int, patience: float = 3.0) -> tuple[socket.socket, str]:
    """As `connect`, for addresses that are known already."""
    refusals: list[str] = []
    for n, (family, address) in enumerate(found):
        last = n == len(found) - 1
        try:
            return await _connect_one(family, address, port, None if last else patience), address
        except TimeoutError:
            refusals.append(f"{address}: no answer within {patience:g} s")
        except OSError as error:
            refusals.append(f"{address}: {system_words(error)}")
    where = f"{host}:{port}"
    raise Unreachable(
        f"{where} does not accept connections ({'; '.join(refusals)})",
        f"is something listening there? `ss -ltn` on its host, then the way from here to {where}",
    )


async def _connect_one(family: int, address: str, port: int, patience: float | None) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(patience):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def system_words(error: OSError) -> str:
    """What the operating system says; asyncio puts its own words in the place of some of them."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
