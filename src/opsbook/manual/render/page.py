"""The frame of an HTML page: head, style, navigation. One file, no script, nothing from elsewhere."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import files


@cache
def style() -> str:
    """The style sheet that every page of ours carries inside."""
    return files("opsbook.manual.render").joinpath("style.css").read_text(encoding="utf-8")


def page(title: str, body: str, navigation: str = "", language: str = "en", *, flowing: bool = False) -> str:
    """A whole page. `body` and `navigation` are HTML; the navigation is a list of links."""
    aside, skip = "", ""
    if navigation:
        # Twice, without a script: folded above the text on a phone, open beside it on a desk. Only one is ever shown.
        aside = f'<nav aria-label="Contents" class="beside">\n{navigation}\n</nav>\n'
        folded = f"<details><summary>Contents</summary>\n{navigation}\n</details>"
        aside += f'<nav aria-label="Contents" class="above">{folded}</nav>\n'
        skip = '<a class="skip" href="#text">Skip the contents</a>\n'
    framed = " class=framed" if navigation else ""
    kind = " class=flowing" if flowing else ""
    return (
        f'<!doctype html>\n<html lang="{escape(language)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{style()}</style>\n</head>\n"
        f'<body{framed}>\n{skip}{aside}<main id="text"{kind}>\n{body}\n</main>\n</body>\n</html>\n'
    )
