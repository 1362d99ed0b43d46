"""The machine itself: what its own tools tell, where the book has the machine as a component."""

from __future__ import annotations

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.model import Why
from opsbook.manual.lift.registry import lifts

LOOKS = {
    "df": "host.disk_free",
    "free": "host.memory",
    "uptime": "host.load",
    "top": "host.load",
    "htop": "host.load",
    "vmstat": "host.load",
    "mpstat": "host.cpu",
    "iostat": "host.cpu",
    "swapon": "host.swap",
    "timedatectl": "host.clock_synchronised",
    "chronyc": "host.clock_synchronised",
}


@lifts(*LOOKS)
def machine(use: Use) -> Lifted:
    if use.inside is not None:
        return None
    part = use.inventory.one("host")
    if part is None:
        return Stay(Why.ELSEWHERE, "it looks at the machine on which it is typed")
    return use.check(LOOKS[use.command.program], part)
