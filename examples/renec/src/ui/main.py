"""The UI: one page, rendered on the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from src import release
from src.settings import settings
from src.ui.figures import Figures

TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
FIGURES = Figures(settings().api_url)


async def page(_request: Request) -> Response:
    return HTMLResponse(TEMPLATES.get_template("page.html").render(figures=FIGURES, release=release.version()))


async def health(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": release.version()})


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    refresher = asyncio.create_task(FIGURES.run())
    yield
    refresher.cancel()
    await FIGURES.close()


app = Starlette(routes=[Route("/", page), Route("/health", health)], lifespan=lifespan)
