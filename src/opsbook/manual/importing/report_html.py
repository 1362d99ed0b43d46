"""The report of an import as one HTML file: no script, no address outside, made to be read and printed."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#d5d9de;--soft:#f4f6f8;--good:#116329;
--stay:#8a4b00}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--paper:#14171a;--line:#3a4047;--soft:#1d2125;
--good:#6fd08c;--stay:#f0b36a}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:70rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;line-height:1.2}h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid var(--line)}
table{border-collapse:collapse;width:100%;font-size:.92rem}th,td{text-align:left;vertical-align:top;
padding:.3rem .6rem .3rem 0;
border-bottom:1px solid var(--line);overflow-wrap:anywhere}td.n{text-align:right;white-space:nowrap}
td.p,th{white-space:nowrap}
code{font:0.88em ui-monospace,monospace;background:var(--soft);padding:.05em .25em;border-radius:3px}
.figures{display:flex;flex-wrap:wrap;gap:1rem;padding:0;list-style:none}.figures li{background:var(--soft);
padding:.6rem 1rem;border-radius:6px}
.figures b{display:block;font-size:1.5rem}.good{color:var(--good)}.stay{color:var(--stay)}
nav a{margin-right:1rem}
@media(max-width:40rem){td.p{white-space:normal}}
@media print{body{max-width:none;margin:0;font-size:10pt;color:#000;background:#fff}nav{display:none}
h2{break-after:avoid}tr{break-inside:avoid}
code{background:none;padding:0}a{color:inherit;text-decoration:none}}
"""


def as_html(data: dict[str, Any]) -> str:
    """The whole page. The same import makes the same page."""
    title = f"Import report: {data['system']}"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style><h1>{escape(title)}</h1><p>Made of {escape(' and '.join(data['manuals']))}.</p>",
        _navigation(data),
        _figures(data["counts"]),
        _procedures(data["procedures"]),
        _addresses(data["addresses"]),
        _decide(data),
        _lifted(data["lifted"]),
        _stays(data),
        _places("mended", "Mended in the lifted form", data["mended"]),
        _places("remaining", "What lint still says", data["remaining"]),
        _understood(data["understood"]),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _navigation(data: dict[str, Any]) -> str:
    names = {
        "procedures": "Procedures",
        "decide": "To decide",
        "contradictions": "Contradictions",
        "lifted": "Lifted",
        "stays": "Stay",
        "mended": "Mended",
        "remaining": "Lint",
        "understood": "Understood",
    }
    links = [f'<a href="#{key}">{name} ({len(data[key])})</a>' for key, name in names.items() if data[key]]
    return f"<nav>{' '.join(links)}</nav>"


def _figures(counts: dict[str, Any]) -> str:
    items = [(counts["commands"], "commands")] + [(number, name) for name, number in counts["became"].items()]
    if counts["share_lifted"] is not None:
        items.append(
            (f"{counts['share_lifted']:.0%}", f"lifted of the {counts['address_a_component']} that address a component")
        )
    why = "".join(f"<tr><td class=n>{n}<td>{escape(text)}" for text, n in counts["stay_because"].items())
    listed = "".join(f"<li><b>{number}</b> {escape(name)}" for number, name in items)
    return f"<ul class=figures>{listed}</ul>" + (
        f"<h2>Why commands stay as they are</h2><table>{why}</table>" if why else ""
    )


def _decide(data: dict[str, Any]) -> str:
    return _places("decide", "What a person must decide", data["decide"]) + _places(
        "contradictions", "Contradictions", data["contradictions"]
    )


def _places(anchor: str, heading: str, found: list[dict[str, str]]) -> str:
    if not found:
        return ""
    rows = "".join(f"<tr><td class=p>{escape(one['place'])}<td>{escape(one['text'])}" for one in found)
    return f'<h2 id="{anchor}">{escape(heading)}</h2><table>{rows}</table>'


def _lifted(found: list[dict[str, Any]]) -> str:
    rows = (
        f"<tr><td class=p>{escape(o['place'])}<td><code>{escape(o['command'])}</code>"
        f"<td class=good>{escape(o['became'])}<td>{escape(o['component'])}<td>{escape(o['procedure'])}"
        for o in found
    )
    return (
        _table("lifted", "What was lifted", ("where", "command", "became", "component", "procedure"), rows)
        if found
        else ""
    )


def _stays(data: dict[str, Any]) -> str:
    found = data["stays"]
    rows = (
        f"<tr><td class=p>{escape(o['place'])}<td><code>{escape(o['command'])}</code><td class=stay>{escape(o['why'])}"
        f"<td>{escape(o['note'])}<td>{escape(o['risk'] or o['form'])}"
        for o in found
    )
    missing = ", ".join(f"<code>{escape(name)}</code> ({n})" for name, n in data["missing_operations"].items())
    told = f"<p>Operations that would mean some of them, and are not there yet: {missing}.</p>" if missing else ""
    return (
        _table("stays", "What stays a shell step or an act of a person", ("where", "command", "why", "", "risk"), rows)
        + told
        if found
        else ""
    )


def _understood(found: dict[str, list[str]]) -> str:
    rows = (
        f"<tr><td class=p>{escape(kind)}<td class=n>{len(lines)}<td>{escape(', '.join(lines))}"
        for kind, lines in found.items()
    )
    return _table("understood", "What was understood", ("", "", "where"), rows)


def _procedures(found: list[dict[str, Any]]) -> str:
    rows = (
        f"<tr><td><code>{escape(o['name'])}</code><td>{escape(o['title'])}<td class=p>{escape(o['place'])}"
        f"<td class=n>{o['steps']}<td class=n>{o['lifted']}<td class=n>{o['shell']}<td>{_ready(o)}"
        for o in found
    )
    return (
        _table("procedures", "Procedures", ("name", "title", "where", "steps", "lifted", "shell", "as imported"), rows)
        if found
        else ""
    )


def _ready(one: dict[str, Any]) -> str:
    if one["as_imported"] == "needs":
        return f"<span class=stay>needs {escape('; '.join(one['needs']))}</span>"
    return "<span class=good>can run</span>" if one["as_imported"] == "runs" else "for persons alone"


def _addresses(data: dict[str, Any]) -> str:
    rows = (
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['use'])}<td>{escape(one['form'])}"
        f"<td>{escape(one['default'])}"
        for one in data["open"]
    )
    heading = f"Addresses and secrets to fill in, all in {data['file']}"
    return _table("addresses", heading, ("variable", "read by", "form", "unless said"), rows) if data["open"] else ""


def _table(anchor: str, heading: str, names: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th scope=col>{escape(name)}" for name in names)
    return f'<h2 id="{anchor}">{escape(heading)}</h2><table><tr>{head}{"".join(rows)}</table>'
