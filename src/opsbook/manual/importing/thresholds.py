"""Figures with their limits become checks; of two that differ the stricter is taken."""

from __future__ import annotations

import re
from dataclasses import dataclass

from opsbook.book.catalogue import ObservationSpec
from opsbook.book.threshold import Threshold
from opsbook.book.units import Dimension, Quantity, parse_quantity, show
from opsbook.manual.facts import Metric
from opsbook.manual.importing.sources import Notes, Source
from opsbook.manual.lift.context import Checks, readable
from opsbook.manual.lift.inventory import Inventory, Part, slug, unique
from opsbook.manual.lift.observations import AVAILABILITY, TABLE, Row

_LIMIT = re.compile(
    r"(?P<operator>[<>]=?|[≤≥]|==|under|below|above|over)?\s*(?P<number>\d[\d,.]*)\s*(?P<unit>%|[A-Za-zµ]+(?:/s)?)?"
)
_TURN = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_WORDS = {"≤": "<=", "≥": ">=", "under": "<", "below": "<", "above": ">", "over": ">"}


@dataclass(frozen=True)
class Limit:
    """Values that are bad, as a manual writes them."""

    operator: str
    text: str
    quantity: Quantity

    def as_threshold(self, turned: bool) -> str:
        """As a book writes it; `turned` where the manual says what is used and the observation what is left."""
        if not turned:
            return f"{self.operator} {self.text}"
        back = {">": "<", ">=": "<=", "<": ">", "<=": ">="}[self.operator]
        return f"{back} {show(max(0.0, 1 - self.quantity.value), Dimension.RATIO).replace(' ', '')}"


def checks_of(sources: list[Source], inventory: Inventory, checks: Checks, notes: Notes) -> list[tuple[str, str, str]]:
    """Make the checks of all figures; the service levels among them are returned: id, target, place."""
    slos: list[tuple[str, str, str]] = []
    for source in sources:
        for metric in source.manual.metrics:
            if metric.source == "autoscaler":
                continue
            _metric(metric, source, inventory, checks, notes, slos)
    return slos


def _metric(
    metric: Metric, source: Source, inventory: Inventory, checks: Checks, notes: Notes, slos: list[tuple[str, str, str]]
) -> None:
    place = source.place(metric.line)
    warning, critical = _limits(metric)
    if metric.expr:
        _expression(metric, place, inventory, checks, notes)
        return
    if warning is None and critical is None:
        notes.ask(place, f"{metric.metric}: no limit is said that could be held against a value")
        return
    if AVAILABILITY.search(metric.metric) and (normal := _limit(metric.normal or metric.target)):
        slos.append((metric.metric, normal.text, place))
        return
    name = f"{metric.metric} {re.sub(r'[<>]?=?[ ]*[0-9.]+[ ]*[%a-z]*', '', metric.normal)}"
    fitting = _fitting(name, metric.metric, (warning or critical), inventory, checks)  # type: ignore[arg-type]
    if not fitting:
        notes.ask(
            place, f"{metric.metric}: no observation fits that a component of the book has; see `opsbook observations`"
        )
        return
    row, parts = fitting
    for part in parts:
        _put(row, part, metric, place, warning, critical, checks, notes)


def _limits(metric: Metric) -> tuple[Limit | None, Limit | None]:
    """What is a warning and what is critical. Leaving the normal range is a warning."""
    warning, critical = _bad(metric.warning), _bad(metric.critical)
    normal = _limit(metric.normal)
    if warning is None and normal is not None and normal.operator in _TURN:
        edge = ">" if normal.operator in ("<", "<=") else "<"
        warning = Limit(edge, normal.text, normal.quantity)
    if warning is not None and critical is not None and warning.operator[0] != critical.operator[0]:
        critical = Limit(warning.operator[0], critical.text, critical.quantity) if critical.operator == "" else critical
    return warning, critical


def _bad(text: str) -> Limit | None:
    found = _limit(text)
    if found is not None and found.operator == "":
        return Limit(">", found.text, found.quantity)
    return found


def _limit(text: str) -> Limit | None:
    match = _LIMIT.search(re.sub(r"\bp\d\d\b", "", text or ""))
    if not match:
        return None
    unit = (match["unit"] or "").strip()
    written = match["number"].rstrip(".,") + unit
    try:
        quantity = parse_quantity(written)
    except ValueError:
        written = match["number"].rstrip(".,")
        try:
            quantity = parse_quantity(written)
        except ValueError:
            return None
    operator = _WORDS.get(match["operator"] or "", match["operator"] or "")
    return Limit(operator, written, quantity)


def _fitting(
    name: str, metric: str, limit: Limit, inventory: Inventory, checks: Checks
) -> tuple[Row, list[Part]] | None:
    for row in TABLE:
        spec = checks.catalogue.observations.get(row.observe)
        if spec is None or not (row.words.search(name) or row.words.search(metric)):
            continue
        if spec.dimension is not limit.quantity.dimension:
            continue
        parts = _parts(row, spec, name, inventory)
        if parts:
            return row, parts
    return None


def _parts(row: Row, spec: ObservationSpec, name: str, inventory: Inventory) -> list[Part]:
    """The components that are meant: the one that is named, else the one of the first kind that there is."""
    fitting = [
        p for p in inventory.parts.values() if readable(spec.kinds, p) and ("*" in row.kinds or p.kind in row.kinds)
    ]
    words = set(re.findall(r"[a-z]+", name.lower()))
    named = [part for part in fitting if words & {part.name, part.role, *part.name.split("-")} - {"service"}]
    if "*" in row.kinds:
        return named or [part for part in fitting if part.role in ("api", "ui", "worker", "scheduler")] or fitting
    if named:
        return named[:1]
    for kind in row.kinds:
        own = [part for part in fitting if part.kind == kind]
        api = [part for part in own if part.role == "api"]
        cache = [part for part in own if part.role != "queue"]
        if own:
            return (api or cache or own)[:1]
    return []


def _put(
    row: Row,
    part: Part,
    metric: Metric,
    place: str,
    warning: Limit | None,
    critical: Limit | None,
    checks: Checks,
    notes: Notes,
) -> None:
    written = {
        "warning": warning and warning.as_threshold(row.turned),
        "critical": critical and critical.as_threshold(row.turned),
    }
    known = checks.of(row.observe, part.name)
    if known is None:
        wanted = slug(metric.metric) or f"{part.name}-{row.observe.partition('.')[2].replace('_', '-')}"
        wanted = f"{part.name}-{wanted}" if "*" in row.kinds and part.name not in wanted else wanted
        known = checks.add(unique(wanted[:60].strip("-"), checks.found), row.observe, part.name, place)
        checks.found[known]["title"] = metric.metric
    check = checks.found[known]
    for key, text in written.items():
        if text:
            _stricter(check, key, text, place, checks.sources[known], metric.metric, notes)
    if metric.for_ and "for" not in check and re.fullmatch(r"\d+[smhd]", metric.for_):
        check["for"] = metric.for_
    _in_order(check)
    if place not in checks.sources[known]:
        checks.sources[known] += f", {place}"


def _stricter(check: dict[str, object], key: str, text: str, place: str, before: str, name: str, notes: Notes) -> None:
    old = check.get(key)
    if old is None:
        check[key] = text
        return
    if old == text:
        return
    one, other = Threshold.parse(str(old)), Threshold.parse(text)
    kept = old
    if one.operator[0] == other.operator[0] and isinstance(one.limit, Quantity) and isinstance(other.limit, Quantity):
        tighter = other.limit.value < one.limit.value if one.operator[0] == ">" else other.limit.value > one.limit.value
        kept = text if tighter else old
    check[key] = kept
    notes.differ(place, f"{name}: {key} {text} here, {old} at {before}; {kept} is taken")


def _in_order(check: dict[str, object]) -> None:
    """A warning that never shows, because critical is reached before it, goes."""
    if "warning" in check and "critical" in check:
        warning, critical = Threshold.parse(str(check["warning"])), Threshold.parse(str(check["critical"]))
        if warning.contradicts(critical) or check["warning"] == check["critical"]:
            del check["warning"]


def _expression(metric: Metric, place: str, inventory: Inventory, checks: Checks, notes: Notes) -> None:
    """A rule of Prometheus: its expression without the comparison, where the book has a Prometheus."""
    prometheus = inventory.one("prometheus")
    match = re.fullmatch(
        r"(?P<query>.+?)\s*(?P<operator>>=|<=|==|!=|>|<)\s*(?P<limit>-?\d[\d.]*(?:e\d+)?)\s*", metric.expr, re.S
    )
    if prometheus is None or match is None:
        reason = "the book has no Prometheus" if prometheus is None else "its expression has no single limit"
        notes.ask(place, f"{metric.metric}: a rule of Prometheus that stays one; {reason}")
        return
    identity = checks.add(
        slug(re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", metric.metric), "rule"),
        "prometheus.query",
        prometheus.name,
        place,
        {"query": " ".join(match["query"].split()), "take": "min" if match["operator"][0] == "<" else "max"},
    )
    level = (
        "critical" if metric.severity.lower() in ("critical", "page", "emergency") or not metric.severity else "warning"
    )
    check = checks.found[identity]
    check["title"] = metric.metric
    check[level] = f"{match['operator']} {match['limit']}"
    if re.fullmatch(r"\d+[smhd]", metric.for_):
        check["for"] = metric.for_
