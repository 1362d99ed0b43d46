"""Measurements over time as an inline SVG, in the colours of the page: on paper, in the dark, and without a script."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from opsbook.manual.render.pieces import Trend

WIDTH, HEIGHT = 400.0, 128.0
TOP, BOTTOM, SIDE = 20.0, 24.0, 8.0
SMALL = 0.05
"""Where all that was measured is less of the target, the heights are logarithmic: else it would lie on the ground."""


def drawn(trend: Trend) -> str:
    """The picture."""
    known = [value for _, value in trend.points if value is not None]
    height = _heights(known, trend.target)
    across = _across([at for at, _ in trend.points])
    target = height(trend.target)
    ground = HEIGHT - BOTTOM
    logarithmic = " (logarithmic)" if _logarithmic(known, trend.target) else ""
    parts = [
        f'<svg class="trend" role="img" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" aria-label="{escape(trend.caption)}">',
        f'<line class="axis" x1="0" x2="{WIDTH:g}" y1="{ground:g}" y2="{ground:g}"/>',
        f'<line class="target" x1="0" x2="{WIDTH:g}" y1="{target:.1f}" y2="{target:.1f}"/>',
        f'<text class="target" x="0" y="{target - 5:.1f}">{escape(trend.target_label + logarithmic)}</text>',
    ]
    places = [(across(at), height(value)) for at, value in trend.points if value is not None]
    if len(places) > 1:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="way" points="{way}"/>')
    for at, value in trend.points:
        x = across(at)
        if value is None:
            cross = f"M{x - 4:.1f} {ground - 8:g}l8 8m0 -8l-8 8"
            parts.append(f'<path class="failed" d="{cross}"/>')
        else:
            over = ' class="over"' if value > trend.target else ""
            parts.append(f'<circle{over} cx="{x:.1f}" cy="{height(value):.1f}" r="3"/>')
    return "\n".join([*parts, *_labels(trend, places), "</svg>"])


def _labels(trend: Trend, places: list[tuple[float, float]]) -> list[str]:
    first, last = trend.ends
    if last == first:
        found = [f'<text x="{WIDTH / 2:g}" y="{HEIGHT - 8:g}" text-anchor="middle">{escape(first)}</text>']
    else:
        found = [f'<text x="0" y="{HEIGHT - 8:g}">{escape(first)}</text>']
        found.append(f'<text x="{WIDTH:g}" y="{HEIGHT - 8:g}" text-anchor="end">{escape(last)}</text>')
    if places and trend.newest_label:
        x, y = places[-1]
        side = f'x="{x - 7:.1f}" text-anchor="end"' if x > WIDTH / 2 else f'x="{x + 7:.1f}"'
        found.append(f'<text class="newest" {side} y="{max(y - 6, TOP + 14):.1f}">{escape(trend.newest_label)}</text>')
    return found


def _logarithmic(known: list[float], target: float) -> bool:
    return bool(known) and 0 < max(known) < SMALL * target


def _heights(known: list[float], target: float) -> Callable[[float], float]:
    """From a value to its place from above."""
    room = HEIGHT - TOP - BOTTOM
    if _logarithmic(known, target):
        least = min((value for value in known if value > 0), default=1.0) / 3
        span = math.log(target / least)
        return lambda value: HEIGHT - BOTTOM - room * max(0.0, math.log(max(value, least) / least) / span)
    most = max([*known, target, 1e-9])
    return lambda value: HEIGHT - BOTTOM - room * value / most


def _across(times: list[float]) -> Callable[[float], float]:
    """From a moment to its place from the left; a single one lies in the middle."""
    if not times or times[-1] <= times[0]:
        return lambda _: WIDTH / 2
    first, span = times[0], times[-1] - times[0]
    return lambda at: SIDE + (WIDTH - 2 * SIDE) * (at - first) / span
