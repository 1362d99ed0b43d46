"""Removing a million keys by pattern: `redis.unlink` against `redis-cli --scan | xargs redis-cli DEL`, in the same run.

Half of the keys are sets of 20 members, whose memory DEL frees in the server's only thread; a million keys are about
0.7 GB in the server, which refuses more than 2 GB. Measured are keys a
second, and what others feel meanwhile: the longest answer to a PING, and the longest single command of the server.

    python benchmarks/unlink.py [KEYS]
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figures import Figure, tell_later
from tests.integration.servers import RedisServer, make_system, new_redis

from opsbook.connectors.change import Change, Done
from opsbook.connectors.registry import open_connections, registered

KEYS = 1_000_000
UNBOUNDED = 1_000_000_000
FILL = """
local members = cjson.decode(ARGV[3])
for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  if n % 2 == 0 then redis.call('SET', 'api:' .. n, string.rep('x', 50))
  else redis.call('SADD', 'api:' .. n, unpack(members)) end
end
"""
PAUSE = 0.001
MEMBERS = 20


@dataclass(frozen=True)
class Measured:
    """One way of removing the keys."""

    name: str
    seconds: float
    longest_ping: float
    longest_command: float


def fill(server: RedisServer, keys: int) -> None:
    """The same keys before each way."""
    members = "[" + ",".join(f'"member-{n}"' for n in range(MEMBERS)) + "]"
    with server.client() as client:
        client.flushall()
        script = client.register_script(FILL)
        for start in range(0, keys, 10_000):
            script(args=[start, min(start + 10_000, keys) - 1, members])
        client.execute_command("SLOWLOG", "RESET")


def measure(name: str, server: RedisServer, keys: int, work: Callable[[], object]) -> Measured:
    """Do it while somebody else pings."""
    fill(server, keys)
    longest, stop = 0.0, threading.Event()

    def ping() -> None:
        nonlocal longest
        with server.client() as client:
            while not stop.is_set():
                started = time.perf_counter()
                client.ping()
                longest = max(longest, time.perf_counter() - started)
                time.sleep(PAUSE)

    pinging = threading.Thread(target=ping)
    pinging.start()
    try:
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
    finally:
        stop.set()
        pinging.join()
    with server.client() as client:
        assert client.dbsize() == 0, f"{name} left {client.dbsize()} keys"
        slow = max((entry["duration"] for entry in client.slowlog_get(100)), default=0) / 1e6
    return Measured(name, seconds, longest, slow)


def by_opsbook(server: RedisServer, a_second: int) -> None:
    """The executor of `redis.unlink`, as the engine calls it."""
    with tempfile.TemporaryDirectory() as folder:
        system = make_system(Path(folder), {"cache": {"kind": "redis", "url": server.url}})
        effect = {"component": "cache", "pattern": "api:*", "spare": [], "ceiling": 10**9, "a_second": a_second}

        async def run() -> None:
            async with open_connections(system) as connections:
                executor, cursor = registered().executors["redis-unlink"](connections), None
                while not isinstance(
                    said := await executor.apply("k", Change("redis-unlink", effect), cursor, Quiet()), Done
                ):
                    cursor = said.cursor

        asyncio.run(run())


class Quiet:
    """Takes what a change says."""

    async def write(self, text: str) -> None:
        return None


def by_xargs(server: RedisServer, command: str) -> None:
    """What manuals advise."""
    cli = f"redis-cli -p {server.port}"
    line = f"{cli} --scan --pattern 'api:*' | xargs {cli} {command} > /dev/null"
    subprocess.run(["sh", "-c", line], check=True)


def main() -> None:
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else KEYS
    with new_redis("--slowlog-log-slower-than", "100", "--slowlog-max-len", "10000", "--maxmemory", "2gb") as server:
        ways = [
            measure("opsbook, unbounded", server, keys, lambda: by_opsbook(server, UNBOUNDED)),
            measure("opsbook, 50,000 keys a second", server, keys, lambda: by_opsbook(server, 50_000)),
            measure("redis-cli --scan | xargs redis-cli DEL", server, keys, lambda: by_xargs(server, "DEL")),
            measure("redis-cli --scan | xargs redis-cli UNLINK", server, keys, lambda: by_xargs(server, "UNLINK")),
        ]
    ours = ways[0]
    print(f"\n{keys:,} keys removed by pattern")
    print(f"  {'':44}{'keys/s':>10}{'longest PING ms':>17}{'longest command ms':>20}{'speed, ours ÷ it':>18}"
          f"{'command, ours ÷ it':>20}")  # fmt: skip
    for way in ways:
        ratio = "" if way is ours else f"{way.seconds / ours.seconds:>18.2f}"
        stall = "" if way is ours else f"{ours.longest_command / max(way.longest_command, 1e-6):>20.2f}"
        print(f"  {way.name:44}{keys / way.seconds:>10,.0f}{way.longest_ping * 1000:>17.1f}"
              f"{way.longest_command * 1000:>20.2f}{ratio}{stall}")  # fmt: skip
    for way in ways[2:]:
        what = f"{keys:,} keys unlinked"
        tell_later(Figure(what, keys / ours.seconds, "keys/s", way.name, keys / way.seconds))
        for told, value, peer in (
            ("longest stall a PING felt", ours.longest_ping, way.longest_ping),
            ("longest command", ours.longest_command, way.longest_command),
        ):
            tell_later(Figure(f"{told} meanwhile", value * 1000, "ms", way.name, peer * 1000))


if __name__ == "__main__":
    main()
