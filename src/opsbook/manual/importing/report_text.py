"""The report of an import for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

MOST = 12


def as_text(data: dict[str, Any], everything: bool = False) -> str:
    """Paragraphs with a heading each; long lists are cut unless everything is wanted."""
    return "\n".join(_lines(data, everything))


def _lines(data: dict[str, Any], everything: bool) -> Iterator[str]:
    counts = data["counts"]
    yield f"{data['system']}: the book of {' and '.join(data['manuals'])}"
    yield ""
    yield "Understood"
    for kind, found in data["understood"].items():
        shown = found if everything else found[:6]
        yield f"  {len(found):>4}  {kind}: {', '.join(shown)}{' …' if len(shown) < len(found) else ''}"
    yield ""
    yield f"{counts['commands']} commands became"
    for name, number in counts["became"].items():
        yield f"  {number:>4}  {name}"
    if counts["share_lifted"] is not None:
        yield (
            f"  {counts['of_these_lifted']} of the {counts['address_a_component']} that address a component "
            f"of the book are lifted ({counts['share_lifted']:.0%})"
        )
    if counts["stay_because"]:
        yield ""
        yield "Why the others stay as they are"
        for why, number in counts["stay_because"].items():
            yield f"  {number:>4}  {why}"
    if data["missing_operations"]:
        yield "  operations that would mean them: " + ", ".join(
            f"{n} × {name}" for name, n in data["missing_operations"].items()
        )
    yield from _as_imported(data["procedures"], everything)
    yield from _addresses(data["addresses"])
    for heading, key in (
        ("Mended in the lifted form", "mended"),
        ("Contradictions", "contradictions"),
        ("What a person must decide", "decide"),
    ):
        yield from _listed(heading, data[key], everything)
    if data["stays"]:
        yield from _listed(
            "Stay shell steps or acts of a person",
            [
                {"place": one["place"], "text": f"{one['command']} — {one['note'] or one['why']}"}
                for one in data["stays"]
            ],
            everything,
        )
    yield from _listed("What lint still says of the manuals", data["remaining"], everything)


def _as_imported(procedures: list[dict[str, Any]], everything: bool) -> Iterator[str]:
    if not procedures:
        return
    by_state = Counter(one["as_imported"] for one in procedures)
    needy = [one for one in procedures if one["as_imported"] == "needs"]
    yield ""
    yield (
        f"{len(procedures)} procedures: {by_state['runs']} can run as imported, {len(needy)} need more, "
        f"{by_state['by hand']} are for persons alone; `opsbook rehearse` proves it"
    )
    shown = needy if everything else needy[:MOST]
    for one in shown:
        yield f"  {one['name']} needs {'; '.join(one['needs'])}"
    if len(shown) < len(needy):
        yield f"  … and {len(needy) - len(shown)} more: the HTML report has all of them"


def _addresses(data: dict[str, Any]) -> Iterator[str]:
    if not data["open"]:
        return
    yield ""
    yield f"Addresses and secrets to fill in ({len(data['open'])}), all in {data['file']}"
    for one in data["open"]:
        default = f", {one['default']} unless said" if one["default"] else ""
        yield f"  {one['name']}: {one['use']}{default}"


def _listed(heading: str, found: list[dict[str, str]], everything: bool) -> Iterator[str]:
    if not found:
        return
    yield ""
    yield f"{heading} ({len(found)})"
    shown = found if everything else found[:MOST]
    for one in shown:
        yield f"  {one['place']}: {one['text']}"
    if len(shown) < len(found):
        yield f"  … and {len(found) - len(shown)} more: the HTML report has all of them"
