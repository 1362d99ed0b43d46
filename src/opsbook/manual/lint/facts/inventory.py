"""What a manual says that its system is made of: the rows of its tables of components, services and hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from opsbook.manual.document import Document, Table

_NAMES = re.compile(
    r"^\W*(?:component|service|workload|host(?:name)?|server|node|container|deployment|application|app|instance|vm|dienst|komponente|rechner|anwendung|"
    r"servicio|componente|servidor|contenedor|aplicaci[oó]n|serviço|composant)"
    r"(?:s|e|n|es)?(?: names?)?\W*$",
    re.I,
)
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*")
_PATH = re.compile(r"(?<![\w.:/])/[a-z][\w/.-]*", re.I)


@dataclass(frozen=True)
class Entry:
    """One named part of the system: its ports, health path and number of replicas as far as its row gives them."""

    name: str
    line: int
    ports: tuple[int, ...] = ()
    health: str = ""
    replicas: int | None = None


def inventory(document: Document) -> Iterator[Entry]:
    """Every row of a table whose first column is headed component, service, host or the like."""
    for table in document.walk():
        if not isinstance(table, Table) or not table.header.cells or not _NAMES.match(table.header.cells[0].text):
            continue
        heads = [cell.text.lower() for cell in table.header.cells]
        port = next((i for i, head in enumerate(heads) if re.match(r"\W*(?:internal |container )?ports?\b", head)), -1)
        health = next((i for i, head in enumerate(heads) if re.search(r"health|probe", head)), -1)
        copies = next((i for i, head in enumerate(heads) if re.search(r"replica|instances|pods", head)), -1)
        parts = next(
            (i for i, head in enumerate(heads) if re.fullmatch(r"\W*(?:services|units|containers)\W*", head)), -1
        )
        for row in table.rows:
            path = _PATH.search(row.text(health)) if health >= 0 else None
            count = re.match(r"\W*(\d+)\W*$", row.text(copies)) if copies >= 0 else None
            ports = tuple(int(p) for p in re.findall(r"\b\d{2,5}\b", row.text(port))) if port >= 0 else ()
            said = re.search(r"\b(\d+) (?:replicas|instances|pods)\b", " ".join(cell.text for cell in row.cells))
            count = count or said
            for part in re.split(r"[,/&]|\band\b", row.text(0)):
                name = part.strip(" `*").strip()
                if _NAME.fullmatch(name):
                    found = path[0] if path else ""
                    yield Entry(name, row.line, ports, found, int(count[1]) if count else None)
            for part in row.text(parts).split(",") if parts > 0 else ():
                if _NAME.fullmatch(part.strip(" `*")):
                    yield Entry(part.strip(" `*"), row.line)
