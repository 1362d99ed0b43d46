"""Metrics and thresholds: from tables, lists, YAML, Prometheus rules, autoscalers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from opsbook.manual.amounts import Comparison, comparisons, duration, durations
from opsbook.manual.document import Document, Fence, ListItem, Paragraph, Table
from opsbook.manual.extract.alert_rules import rules_of_block
from opsbook.manual.extract.metric_lines import lines_of_block, lines_of_text, marked_ranges, with_action
from opsbook.manual.extract.threshold_settings import threshold_settings
from opsbook.manual.facts import Metric
from opsbook.manual.outline import Part, all_parts, split_pair, within
from opsbook.manual.vocabulary import says

_SHORT = {"normal": ("ok", "okay"), "critical": ("crit",)}
_COLUMN_ORDER = ("action", "normal", "warning", "critical", "severity", "threshold")
_FOR = re.compile(r"\b(?:for|over|during|sustained)\s+(?:more than\s+|at least\s+|>\s*)?(?=\d)", re.I)
_LEADING = re.compile(
    r"^\W*(?:(?P<normal>target|goal|normal|healthy|should be|must be|keep|ideal|ok|good|expected|baseline|"
    r"objetivo|ziel|正常\S*|目标|目標|정상 ?\S*|목표)"
    r"|(?P<critical>critical|alert|page|red|alarm|alerta|crítico|kritisch|严重|告警|アラート|위험|긴급)|"
    r"(?P<warning>warn(?:ing)?|yellow|amber|degraded|aviso|advertencia|warnung|警告|경고|주의))"
    r"\b\s*(?:range|threshold|value|level|if|at|when|on)?\s*[:：]?\s*(?:if|at|when)?\s*",
    re.I,
)
_SLOT = re.compile(
    r"(?P<normal>\b(?:target|goal|normal|healthy|ideal|good|green|objetivo|meta|ziel|soll|норма|цель)\b|🟢|✅|正常|目标|目標)|"
    r"(?P<warning>\bwarn(?:ing)?\b|\byellow\b|\bamber\b|\bdegraded\b|\bwarnung\b|\b(?:aviso|advertencia)\b|"
    r"\bпредупрежд\w*|🟡|⚠|警告|경고|주의)|(?P<critical>\bcritical\b|"
    r"\balert\b|\bpage\b|\bred\b|\bkritisch\b|\bcrític[oa]\b|\bкритич\w*|🔴|🚨|严重|告警|긴급)",
    re.I,
)
# "Check disk space > 20%": the box is to check, the metric is what is checked.
_CHECKING = re.compile(
    r"^(?:check|verify|ensure|confirm|monitor|review|make sure|verificar|comprobar|prüfen?|"
    r"проверить)\s+(?:that\s+|the\s+)?(?=\w)",
    re.I,
)
_AT = re.compile(
    r"^(?P<name>[^:]{3,60}?)\s+(?:at|bei|al|em|на|a)\s+(?P<value>\d+(?:[.,]\d+)?\s?(?:%|ms|s|MB|GB)?)$", re.I
)
_NOT_A_METRIC = re.compile(
    r"^\W*(?:if|when|whenever|after|once|bei|ab|nach|archive|delete|purge|remove|drop|scale|wait|until|unless|"
    r"in case|si|cuando|wenn|falls|se|если|如果|若|当)\b",
    re.I,
)
# `> $200: Critical`, `>= 5% (warning)`: the word behind the figure says which range it is.
_ROLE_BEHIND = re.compile(
    r"\W*(?:(?P<critical>critical|page|red|emergency|kritisch|crític[oa]|критич\w*|严重|紧急|긴급)|"
    r"(?P<warning>warn(?:ing)?|yellow|amber|warnung|aviso|advertencia|предупрежд\w*|警告|경고))\W*(?:alert)?\W*",
    re.I,
)
_LEVEL = re.compile(
    r"(?:(?P<critical>critical|red|kritisch|crític[oa])|(?P<warning>warn(?:ing)?|yellow|amber|warnung|aviso))\s*"
    r"[(（](?P<value>[<>≥≤=]*\s*\d+(?:\.\d+)?\s?%)[)）]\W*",
    re.I,
)
_TRIGGERS = re.compile(
    r"\b(?:scal\w+|alert\w*|autoscal\w+)\s+(?:up\s+|down\s+)?(?:triggers?|rules?|conditions?)\b", re.I
)
_ALERT_NAME = re.compile(r"[A-Z][a-z0-9]+(?:[A-Z]+[a-z0-9]*)+$")
_FIGURE = re.compile(r"[~≈]?\d+(?:[.,]\d+)?\s?(?:%|ms|s|[MG]i?B)?")
_THRESHOLD = re.compile(r"threshold|umbral|limiar|schwell|порог|阈值|しきい値|임계", re.I)
_GENERIC = frozenset(
    """
    high low elevated increased critical excessive the a of is usage rate too space average large slow times time
    utilization consumption level
    """.split()  # noqa: SIM905
)


def metrics(document: Document) -> list[Metric]:
    """All metrics of a manual; an alert on a metric that is listed elsewhere is joined to it."""
    found: list[Metric] = []
    alerts: list[Metric] = []
    for part in all_parts(document):
        for block in within(part.blocks):
            if isinstance(block, Table):
                found.extend(_of_table(block, part))
            elif isinstance(block, Fence):
                found.extend([*rules_of_block(block), *threshold_settings(block)] or lines_of_block(block, part))
            elif isinstance(block, Paragraph):
                found.extend(lines_of_text(block, part))
        listed = _of_list(part)
        (alerts if _alert_severity(part) else found).extend(listed)
    return sorted(_joined(found, alerts), key=lambda metric: metric.line)


def _of_table(table: Table, part: Part) -> Iterable[Metric]:
    header = [cell.text for cell in table.header.cells]
    if len(header) < 2 or any(
        re.search(r"\b(?:RTO|RPO)\b|response time|resolution", text, re.I) for text in header[1:]
    ):
        return
    roles = {index: role for index, text in enumerate(header) if index and (role := _column(text))}
    figures = [index for index, role in roles.items() if role in ("normal", "warning", "critical", "threshold")]
    if not figures or _is_severity_table(header, part):
        return
    # A column of bare numbers under "limit" is a setting; thresholds are compared with.
    bare = all(re.search(r"\blimit", header[index], re.I) for index in figures)
    rows = [row for row in table.rows if any(_is_figure(row.text(index), bare) for index in figures)]
    if len(rows) * 2 < len(table.rows) or not rows:
        return
    for row in rows:
        values: dict[str, str] = {}
        for index, role in roles.items():
            text = row.text(index).strip()
            if text and text not in ("-", "—", "–", "N/A", "n/a"):
                values.setdefault(role, text)
        threshold = values.pop("threshold", "")
        severity = values.get("severity", "")
        if threshold:
            values.setdefault("warning" if says(severity, "warning") else "critical", threshold)
        yield Metric(line=row.line, metric=row.text(0).strip(), source="table", **values)


def _column(text: str) -> str:
    """What a column of a metrics table holds; empty where it is none of these."""
    if re.fullmatch(r"\W*(?:duration|for|window|duración|dauer|持续时间)\W*", text, re.I):
        return "for_"
    # "CPU Limit" is what a workload may use, not what is watched.
    if re.search(r"\b(?:cpu|memory|mem|ram|storage|gpu)\s+(?:limit|request|reservation)", text, re.I):
        return ""
    if re.fullmatch(r"\W*(?:expression|expr|promql|rule expression)\W*", text, re.I):
        return "threshold"
    for role in _COLUMN_ORDER:
        if says(text, role) or text.strip().lower() in _SHORT.get(role, ()):
            return role
    return ""


def _is_severity_table(header: list[str], part: Part) -> bool:
    return (
        says(header[0], "severity")
        and not any(says(text, "normal") or says(text, "metric") for text in header)
        and says(part.context, "incident")
    )


def _is_figure(text: str, compared: bool = False) -> bool:
    if compared:
        return bool(comparisons(text)) or "%" in text
    return bool(
        comparisons(text)
        or durations(text)
        or re.search(r"\d+(?:[.,]\d+)?\s*(?:%|ms|[kMG]i?B|[a-z]{0,3}$)|[<>≤≥=]\s*\d", text.strip())
    )


def _alert_severity(part: Part) -> str:
    """`critical` or `warning` where a list is titled as the alerts of that severity."""
    title = part.title
    if (
        not (says(title, "alert") or _THRESHOLD.search(title))
        or len(title) > 80
        or re.search(r"\b(?:sent|go|goes|routed|channel|notif\w+)\b", title, re.I)
    ):
        return ""
    words = re.sub(r"[(（].*", "", title)
    if says(words, "critical"):
        return "critical"
    return "warning" if says(words.replace("alert", "").replace("Alert", ""), "warning") else ""


def _of_list(part: Part) -> list[Metric]:
    severity = _alert_severity(part)
    context = part.context
    watched = (
        bool(severity) or says(part.title, "metric") or says(context, "metric") or bool(_TRIGGERS.search(part.title))
    )
    found: list[Metric] = _named_alerts(part)
    if found:
        return found
    for item in (block for block in within(part.blocks) if isinstance(block, ListItem)):
        if item.ordered and not (severity or says(part.title, "metric")):
            continue
        if not (watched or item.checked is not None) or _NOT_A_METRIC.match(item.text) or len(item.text) > 160:
            continue
        made = _of_item(item, severity, part)
        if made is not None:
            found.append(made)
    return _grouped(found, part)


def _named_alerts(part: Part) -> list[Metric]:
    """A list of alerts by their names in the monitoring system (`HighErrorRate`), where it gives no figures."""
    items = [item for item in part.items() if item.checked is None]
    names = [re.split(r"[:：\s]", item.strong or item.text.split("\n")[0])[0].strip("`*") for item in items]
    named = all(_ALERT_NAME.match(name) for name in names) and not any(item.children for item in items)
    if len(items) < 2 or not named or not says(" ".join((*part.path[-1:], part.title)), "alert"):
        return []
    if any(comparisons(item.text) or item.links for item in items):
        return []
    severity = _alert_severity(part)
    return [
        Metric(line=item.line, metric=name, severity=severity, source="list")
        for item, name in zip(items, names, strict=True)
    ]


def _grouped(found: list[Metric], part: Part) -> list[Metric]:
    """Items that are named by a range only (`Warning: …`, `Critical: …`) are the ranges of one metric, which the
    title names."""
    ranges = [
        metric
        for metric in found
        if (match := _LEADING.match(metric.metric)) and not metric.metric[match.end() :].strip(" :：")
    ]
    if not ranges:
        return found
    values: dict[str, str] = {}
    for metric in ranges:
        match = _LEADING.match(metric.metric)
        if match is not None:
            values.setdefault(_role(match), metric.normal or metric.warning or metric.critical)
    title = part.path[-1] if part.path and says(part.title, "threshold") else part.title
    rest = [metric for metric in found if metric not in ranges]
    return [*rest, Metric(line=ranges[0].line, metric=title, source="list", **values)]


def _of_item(item: ListItem, severity: str, part: Part) -> Metric | None:
    text = re.sub(r"^[^\w(<>]+", "", item.text.split("\n")[0].strip())
    text = _CHECKING.sub("", text)
    if (level := _LEVEL.match(text)) is not None:
        slot = {"critical" if level["critical"] else "warning": level["value"]}
        return Metric(line=item.line, metric=text[: level.start("value") - 1].strip(), source="list", **slot)
    if (marked := marked_ranges(text)) is not None:
        return Metric(line=item.line, metric=marked[0], source="list", **marked[1])
    text, action = with_action(text)
    name, value = _name_and_value(text, item.strong)
    slots = _slots(value, severity, part)
    if name and slots:
        name, slots = _without_measure(name, slots)
        for_ = _for(value)
        return Metric(line=item.line, metric=name, severity=severity, source="list", for_=for_, action=action, **slots)
    nested = _of_children(item)
    if nested is not None:
        return nested
    # An alert without a figure is still an alert, where the list says so by its title.
    if (
        severity
        and len(text.split()) <= 8
        and not comparisons(text)
        and "`" not in item.source
        and not item.children
        and split_pair(text) is None
    ):
        return Metric(line=item.line, metric=text, severity=severity, source="list")
    return None


def _of_children(item: ListItem) -> Metric | None:
    """`- API p95` with `- Warning: > 500ms` and `- Critical: > 1s` below it."""
    values: dict[str, str] = {}
    for child in item.children:
        if isinstance(child, ListItem) and (match := _LEADING.match(child.text)) and comparisons(child.text):
            role = next(name for name in ("normal", "critical", "warning") if match[name])
            values.setdefault(role, child.text[match.end() :].strip())
    return Metric(line=item.line, metric=item.text.strip(" :："), source="list", **values) if values else None


def _name_and_value(text: str, strong: str) -> tuple[str, str]:
    """A metric's name, and the text that holds its figures."""
    figure = next(iter(comparisons(text)), None)
    if figure is not None and figure.start and _ROLE_BEHIND.fullmatch(text[figure.end :]):
        return text[: figure.start].strip(" :：-–—("), text[figure.start :].strip()
    pair = split_pair(text, strong)
    if pair and (comparisons(pair[1]) or _LEADING.match(pair[1]) or _FIGURE.fullmatch(pair[1])):
        return pair
    bracket = re.search(r"[(（]([^()（）]*)[)）]", text)
    if bracket and comparisons(bracket[1]):
        return text[: bracket.start()].strip(" :") or text, bracket[1].strip()
    if (at := _AT.match(text)) is not None:
        return at["name"], at["value"]
    first = next(iter(comparisons(text)), None)
    if first is None or first.start == 0:
        return "", ""
    name = text[: first.start].strip(" :：-–—(")
    return (name, text[first.start :].strip()) if len(name.split()) <= 8 else ("", "")


_MEASURE = re.compile(
    r"(\d\s*(?:%|[a-zA-Z]+)?)\s+(free|available|remaining|left|used|usage|utili[sz]ation|p\d\d)$", re.I
)


def _without_measure(name: str, slots: dict[str, str]) -> tuple[str, dict[str, str]]:
    """`> 20% free` of "Disk space": the last word says what is measured, so it belongs to the name."""
    for role, value in slots.items():
        match = _MEASURE.search(value)
        if match:
            slots = slots | {role: value[: match.end(1)].strip()}
            name = name if match[2].lower() in name.lower() else f"{name} {match[2]}"
    return name, slots


def _slots(value: str, severity: str, part: Part) -> dict[str, str]:
    """Which range each figure of a text gives."""
    if not value:
        return {}
    found = comparisons(value)
    lead = _LEADING.match(value)
    if not found:
        rest = value[lead.end() :].strip() if lead else ""
        if lead and re.match(r"[~≈]?\d", rest):
            return {_role(lead): rest}
        limit = severity or ("critical" if _THRESHOLD.search(part.title) else "")
        return {limit: value} if limit and re.match(r"\d", value) else {}
    if len(found) == 1 and (behind := _ROLE_BEHIND.fullmatch(value[found[0].end :])) is not None:
        return {"critical" if behind["critical"] else "warning": value[: found[0].end].strip()}
    if len(found) > 1 and (several := _several(value, found)):
        return several
    if lead:
        return {_role(lead): value[lead.end() :].strip()}
    role = severity or _default_role(part)
    return {role: value}


def _several(value: str, found: list[Comparison]) -> dict[str, str]:
    """`Target < 70%, alert at > 90%`: each figure by the word that stands before it."""
    slots: dict[str, str] = {}
    start = 0
    for comparison in found:
        before = value[start : comparison.start]
        after = re.match(r"\s*[(（]([^)）]*)[)）]", value[comparison.end :])
        words = list(_SLOT.finditer(before))
        inside = _SLOT.search(after[1]) if after else None
        match = words[-1] if words else inside
        if match is not None:
            slots.setdefault(_role(match), comparison.text)
        start = comparison.end
    return slots


def _role(match: re.Match[str]) -> str:
    return next(name for name in ("normal", "critical", "warning") if match[name])


def _default_role(part: Part) -> str:
    """A list of thresholds gives the limits; any other the ranges that are well."""
    for text in (part.title, *reversed(part.path)):
        if says(text, "warning") or re.match(r"\W*info", text, re.I):
            return "warning"
        if _THRESHOLD.search(text) or says(text, "alert"):
            return "critical"
        if says(text, "metric") or says(text, "checklist"):
            return "normal"
    return "normal"


def _for(text: str) -> str:
    match = _FOR.search(text)
    length = duration(text[match.end() :]) if match else None
    return length.text if length and length.start <= 1 else ""


def _subject(name: str) -> frozenset[str]:
    words = [re.sub(r"s$", "", word) for word in re.findall(r"\w+", name.lower())]
    return frozenset(word for word in words if word not in _GENERIC)


def _joined(found: list[Metric], alerts: list[Metric]) -> list[Metric]:
    """Put the limits of an alert onto the metric of the same subject, where that has none yet."""
    metrics_ = list(found)
    for alert in alerts:
        limit = alert.critical or alert.warning
        subject = _subject(alert.metric)
        at = next((i for i, metric in enumerate(metrics_) if limit and _same(metric, subject, alert)), None)
        if at is None:
            metrics_.append(alert)
        elif alert.critical:
            metrics_[at] = replace(metrics_[at], critical=alert.critical, for_=metrics_[at].for_ or alert.for_)
        else:
            metrics_[at] = replace(metrics_[at], warning=alert.warning, for_=metrics_[at].for_ or alert.for_)
    return metrics_


def _same(metric: Metric, subject: frozenset[str], alert: Metric) -> bool:
    if (
        (alert.critical and metric.critical)
        or (alert.warning and metric.warning)
        or metric.source != "list"
        or not subject
    ):
        return False
    own = _subject(metric.metric)
    return bool(own) and (subject <= own or own <= subject)
