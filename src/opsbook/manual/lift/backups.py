"""The backups of the book to be. A command that dumps a component asks for one; where it is written is the manual's."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from opsbook.manual.lift.inventory import Part, slug, unique

OPEN = "${BACKUP_TO}"
"""Where a backup is written to, where the manual names no store: filled in with the other addresses."""
_STORE = re.compile(r"(?:s3://|/)[\w./${}:-]+")
_PACKED = re.compile(r"\.(?:gz|zst|xz|bz2|age|gpg|enc)$")


@dataclass
class Backups:
    """What is known of them: entries as the book writes them, and where the manual tells of each."""

    found: list[tuple[dict[str, Any], str]] = field(default_factory=list)

    def want(self, part: Part, method: str, place: str, tables: tuple[str, ...] = (), to: str | None = None) -> str:
        """The id of the backup of this component by this method, made where the book has none."""
        entry = self._known(part, method, tables)
        if entry is None:
            named = "-".join([part.name, *(slug(table.rpartition(".")[2]) for table in tables[:2]), method])
            entry = {"id": unique(named, [one["id"] for one, _ in self.found]), "of": part.name, "method": method}
            if tables:
                entry["tables"] = list(tables)
            self.found.append((entry, place))
        if entry.get("to", OPEN) == OPEN:
            entry["to"] = to or OPEN
        return str(entry["id"])

    def entry(self, name: str) -> dict[str, Any]:
        """An entry by its id."""
        return next(one for one, _ in self.found if one["id"] == name)

    def copied(self, name: str, to: str) -> None:
        """It is brought to another store too; to that alone, where no other was named."""
        entry = self.entry(name)
        if entry.get("to", OPEN) == OPEN:
            entry["to"] = to
        elif entry["to"] != to:
            entry.setdefault("copy_to", to)

    def _known(self, part: Part, method: str, tables: tuple[str, ...]) -> dict[str, Any] | None:
        for one, _ in self.found:
            same = one["of"] == part.name and one["method"] == method and not one.get("continuous")
            if same and tuple(one.get("tables", ())) == tables:
                return one
        return None


def store_of(path: str) -> str | None:
    """The folder or bucket that a file is written into; None where that is no place that lasts."""
    folder = path if path.endswith("/") else path.rpartition("/")[0]
    folder = re.sub(r"\$(\w+)", r"${\1}", folder.rstrip("/"))
    lasting = _STORE.fullmatch(folder) and not re.match(r"/(?:tmp|dev|var/tmp|proc)\b", folder)
    return folder if lasting and folder not in ("s3:", "s3:/") else None


def same_file(text: str) -> str:
    """A file's name as two commands that mean the same one write it: `${A}.gz` is that of `$A`."""
    return _PACKED.sub("", re.sub(r"\$\{(\w+)\}", r"$\1", text.removeprefix("./")))
