"""Cost against size: books of 10 to 5,000 checks, loaded and swept. The peer is the book of 10, per check."""

from __future__ import annotations

import asyncio
import resource
import shutil
import tempfile
from pathlib import Path

from figures import Figure, cost_of, tell_later
from sweep import NGINX, book, running

from opsbook.book.system import System
from opsbook.checks.sweep import sweep
from opsbook.clock import SystemClock
from opsbook.connectors.registry import open_connections

SIZES = (10, 100, 1_000, 5_000)
CHECKS_A_COMPONENT = 10


def one_sweep(system: System) -> None:
    async def run() -> None:
        async with open_connections(system) as connections:
            result = await sweep(system, system.checks, connections, SystemClock())
        assert result.state == "ok", [r.sentence for r in result.results if r.state != "ok"][:3]

    asyncio.run(run())


def system_of(folder: Path, size: int) -> System:
    count = max(1, size // CHECKS_A_COMPONENT)
    components = [f"e{n}: {{kind: http, url: 'http://127.0.0.1:{NGINX}', health: /e/{n}}}" for n in range(count)]
    checks = [
        f"{{id: c{n}, observe: http.status, of: e{n % count}, with: {{path: /p/{n}}}, critical: '!= 200'}}"
        for n in range(size)
    ]
    return book(folder, components, checks)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        folder = Path(name)
        config = folder / "nginx.conf"
        config.write_text(
            f"daemon off; pid {folder}/nginx.pid; error_log /dev/null; worker_rlimit_nofile 16384;\n"
            "events { worker_connections 4096; }\n"
            f"http {{ access_log off; server {{ listen 127.0.0.1:{NGINX}; location / {{ return 200 'ok'; }} }} }}\n"
        )
        command = [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(config), "-p", str(folder)]
        with running(command, NGINX):
            system = system_of(folder, SIZES[0])
            one_sweep(system)  # imports and first connections do not count
            print("\nCost against size (one HTTP request a check, ten checks a component)")
            print(
                f"  {'checks':>8}{'load s':>10}{'sweep CPU s':>13}{'wall s':>9}{'CPU a check, ÷ 10':>19}{'peak MB':>9}"
            )
            base = 0.0
            for size in SIZES:
                each = measure(folder, size, base)
                base = base or each
                if size == SIZES[-1]:
                    tell_later(Figure(f"a check of {size:,}, CPU", each * 1000, "ms", "a check of 10", base * 1000))


def measure(folder: Path, size: int, base: float) -> float:
    """Print one row, and return the CPU seconds of one check."""
    systems: list[System] = []
    loaded = cost_of(lambda: systems.append(system_of(folder, size)))
    best = min((cost_of(lambda: one_sweep(systems[0])) for _ in range(3)), key=lambda cost: cost.cpu)
    each = best.cpu / size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratio = each / (base or each)
    print(f"  {size:>8,}{loaded.wall:>10.3f}{best.cpu:>13.3f}{best.wall:>9.3f}{ratio:>19.2f}{peak:>9.0f}")
    return each


if __name__ == "__main__":
    main()
