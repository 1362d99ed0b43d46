"""The register's pages as HTML. `broken` is the same content in another markup, as after a redesign of the site."""

from __future__ import annotations

from dataclasses import asdict
from html import escape

from src.registry_site.content import SECTORS, Register

PER_PAGE = 20
ROBOTS = "User-agent: *\nDisallow: /RENEC/privado/\nCrawl-delay: 0\n"
KINDS = {"estandares": "standards", "certificadores": "certifiers", "centros": "centres"}

Page = str


def document(title: str, body: str) -> Page:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>'
    return f'<!doctype html><html lang="es"><head>{head}</head><body>{body}</body></html>\n'


def home(register: Register) -> Page:
    totals = "".join(
        f'<li class="total" data-kind="{kind}" data-count="{len(getattr(register, field))}">'
        f'<a href="/RENEC/{kind}?page=1">{kind}</a></li>'
        for kind, field in KINDS.items()
    )
    return document(
        "Registro Nacional de Estándares de Competencia",
        f'<h1>RENEC</h1><ul>{totals}<li><a href="/RENEC/sectores">sectores</a></li></ul>'
        '<a rel="nofollow" href="/RENEC/privado/panel">acceso</a>',
    )


def sectors(register: Register) -> Page:
    rows = "".join(
        f"<li>{escape(sector)}: {sum(s.sector == sector for s in register.standards.values())}</li>"
        for sector in SECTORS
    )
    return document("Sectores", f"<ul>{rows}</ul>")


def listing(register: Register, kind: str, page: int, broken: bool) -> Page | None:
    """One page of twenty links, or None where there is no such page."""
    codes = list(getattr(register, KINDS[kind]))
    here = codes[(page - 1) * PER_PAGE : page * PER_PAGE]
    if page < 1 or not here:
        return None
    css = "card-link" if broken else "item"
    links = "".join(f'<li><a class="{css}" href="/RENEC/{kind}/{code}">{code}</a></li>' for code in here)
    more = f'<a rel="next" href="/RENEC/{kind}?page={page + 1}">siguiente</a>' if page * PER_PAGE < len(codes) else ""
    return document(kind, f"<ul>{links}</ul>{more}")


def detail(register: Register, kind: str, code: str, broken: bool) -> Page | None:
    """The page of one record, or None where there is no such record."""
    record = getattr(register, KINDS[kind]).get(code)
    if record is None:
        return None
    fields = asdict(record)
    if broken:
        body = "".join(f'<div class="card"><b>{k}</b> {escape(str(v))}</div>' for k, v in fields.items())
    else:
        rows = "".join(f'<dt>{k}</dt><dd data-field="{k}">{escape(str(v))}</dd>' for k, v in fields.items())
        body = f'<dl class="ficha">{rows}</dl>'
    return document(code, f"<h1>{code}</h1>{body}")
