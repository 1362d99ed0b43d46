"""The public status page, where the book has one: components, incidents, maintenance. It tells nothing internal."""

from __future__ import annotations

import threading
from typing import Annotated

from starlette.responses import Response

from opsbook.api.doors import public, shown, subject
from opsbook.api.house import House
from opsbook.api.problems import NotFound
from opsbook.watch import status_page
from opsbook.watch.public import Page

router = subject("status", prefix="")
Anybody = Annotated[House, public("the status page of the book is for the public")]
LASTS = 60.0
"""Seconds for which a page is shown before it is gathered anew: anybody may ask for it, as often as they like."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none';"
    " base-uri 'none'; form-action 'none'",
    "Cache-Control": f"public, max-age={LASTS:.0f}",
}

_making = threading.Lock()


@router.get("/status", responses=shown("<!doctype html>…", "the page", "text/html"))
def html(house: Anybody) -> Response:
    """The page for people. 404 where the book has no `status_page`."""
    return Response(status_page.html(_page(house)), headers=HEADERS, media_type="text/html; charset=utf-8")


@router.get("/status.json", responses=shown({"title": "Kiln", "state": "ok", "components": []}, "the page as data"))
def data(house: Anybody) -> Response:
    """The same for programs."""
    return Response(status_page.data(_page(house)), headers=HEADERS, media_type="application/json")


def _page(house: House) -> Page:
    setting, system = house.watch.setting, house.last_system()
    if system.model.status_page is None:
        raise NotFound("there is no status page here", "a book has one by its key `status_page`")
    with _making:
        now = setting.clock.monotonic()
        if house.public is None or now - house.public[0] >= LASTS:
            house.public = (now, status_page.page(setting, system, setting.clock.now(), house.known_days))
        return house.public[1]
