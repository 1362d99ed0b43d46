"""Amounts as people write them: durations, comparisons, times of day, days of the week, in several languages."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Duration:
    """A length of time as written: `text` is short and plain (`15min`, `2 weeks`, `next business day`), `seconds`
    None where it has none."""

    seconds: float | None
    text: str
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Comparison:
    """`< 200ms`: operator (`<`, `>`, `<=`, `>=`, `==` or empty), number, unit as written, and the whole as `text`."""

    operator: str
    number: float
    unit: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Times:
    """Times of day, `start` and `end` as HH:MM (end empty for a single time), and the zone as written."""

    start: str
    end: str
    zone: str
    at: int

    @property
    def text(self) -> str:
        return f"{self.start}-{self.end}" if self.end else self.start


# unit: seconds, words (as regular expressions, case-insensitive), single letters (case-sensitive)
_UNITS: dict[str, tuple[float, str]] = {
    "ms": (0.001, r"ms|msecs?|milli?second(?:s|os|as)?|millisekunden?|milisegundos?|毫秒|ミリ秒|밀리초|мс"),
    "s": (1, r"s|secs?|seconds?|segundos?|sekunden?|secondes?|secondi|秒钟?|초|сек(?:унд[аы]?)?"),
    "min": (60, r"m|mins?|minutes?|minutos?|minuten?|minuti|分钟?|分間|분|мин(?:ут[аы]?)?"),
    "h": (3600, r"h|hrs?|hours?|horas?|stunden?|std\.?|heures?|ore|小时|小時|時間|시간|ч(?:ас(?:а|ов)?)?"),
    "d": (86_400, r"d|days?|d[ií]as?|tag(?:e|en)?|jours?|giorni|天|日間?|일|д(?:ень|ня|ней)"),
    "w": (604_800, r"w|wks?|weeks?|semanas?|wochen?|semaines?|settimane|周|星期|週間?|주일?|недел[яьию]"),
    "month": (2_592_000, r"mo|months?|mes(?:es)?|m[êe]s|monate?n?|mois|mesi|个?月|か月|ヶ月|개월|месяц(?:а|ев)?"),
    "year": (31_536_000, r"y|yrs?|years?|a[ñn]os?|jahre?n?|ans?|années?|anni|年間?|년|год(?:а|ов)?|лет"),
}
_NUMBER_WORDS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "ten": 10,
    "twelve": 12,
    "fifteen": 15,
    "thirty": 30,
    "a": 1,
    "an": 1,
    "un": 1,
    "una": 1,
    "uma": 1,
    "um": 1,
    "eine": 1,
    "einer": 1,
    "ein": 1,
    "dos": 2,
    "zwei": 2,
}
_UNIT = "|".join(f"(?P<{name}>{words})" for name, (_, words) in _UNITS.items())
_DURATION = re.compile(
    rf"(?<![\w.,$:/-])(?:(?P<number>\d+(?:[.,]\d+)?)\s*\+?|(?P<word>{'|'.join(_NUMBER_WORDS)})\b)(?:\s*(?:-|–|"
    rf"to|a|bis|～|~|至|до)\s*(?P<upper>\d+(?:[.,]\d+)?))?"
    rf"[\s-]{{0,2}}(?P<business>(?:business|working|calendar|full|"
    rf"consecutive)\s+)?(?:{_UNIT})(?![a-zA-Zà-ÿа-я/])(?!\.\w)",
    re.I,
)
_AT_ONCE = re.compile(
    r"\b(?:immediate(?:ly)?|at once|instant(?:ly)?|right away|inmediat[oa](?:mente)?|imediat[oa](?:mente)?|"
    r"sofort(?:ige?)?|umgehend|imm[ée]diat(?:ement|e)?|немедленно|сразу)\b|立即|立刻|即時|즉시",
    re.I,
)
_LOOSE = re.compile(
    r"\b(?:next (?:business |working )?day|same (?:business )?day|next (?:sprint|release|week)|end of "
    r"(?:business )?day|best effort|within (?:the )?(?:business )?day|business hours|"
    r"nächster (?:Arbeits|Werk)tag|(?:siguiente|próximo) día (?:hábil|laborable)|próximo dia útil|следующий "
    r"рабочий день)\b|下一?个?工作日|翌営業日",
    re.I,
)
_OPERATORS = {
    "<": "<",
    ">": ">",
    "≤": "<=",
    "≥": ">=",
    "<=": "<=",
    ">=": ">=",
    "=<": "<=",
    "=>": ">=",
    "==": "==",
    "＜": "<",
    "＞": ">",
}
_LESS = (
    r"(?:less|fewer|lower) than|under|below|at most|up to|no more than|drops below|menos de|menor (?:que|"
    r"de)|por debajo de|abaixo de|inferior a|unter|weniger als|kleiner als|moins de|менее|меньше|ниже|低于|"
    r"小于|不超过|以下|未満|미만"
)
_MORE = (
    r"(?:more|greater|higher) than|over|above|at least|exceed(?:s|ing)?|exceeds|más de|mayor (?:que|de)|"
    r"superior a|por encima de|mais de|maior que|acima de|über|mehr als|größer als|plus de|более|больше|"
    r"выше|超过|大于|高于|以上|超过|초과"
)
_AMOUNT = (
    r"[$€£¥]?\d(?:[\d,.]*\d)?(?:\s?(?:%|％|°C|[kKMGT]i?B(?:/s)?|[kKMGT](?![a-z])|ms\b|µs\b|us\b|rps\b|qps\b|"
    r"req(?:uests)?/s(?:ec)?\b|/s(?:ec)?\b|/min(?:ute)?\b|/h(?:our)?\b|x\b))?"
)
_COMPARISON = re.compile(
    rf"(?P<op><=|>=|=<|=>|==|<|>|≤|≥|＜|＞)\s*(?P<amount>{_AMOUNT})|\b(?:(?P<less>{_LESS})|"
    rf"(?P<more>{_MORE}))\s*:?\s*(?P<said>{_AMOUNT})"
    rf"|(?:(?P<cless>低于|小于|不超过)|(?P<cmore>超过|大于|高于|达到))\s*(?P<cjk>{_AMOUNT})",
    re.I,
)
_CLOCK = r"(?:[01]?\d|2[0-4])[:.h][0-5]\d(?:\s*[ap]\.?m\.?)?|(?:1[0-2]|0?[1-9])\s*[ap]\.?m\b\.?"
_TIMES = re.compile(
    rf"(?<![\d.:])(?P<from>{_CLOCK}|(?:1[0-2]|0?[1-9])(?=\s*(?:-|–|"
    rf"to)\s*\d{{1,2}}(?:[:.]\d\d)?\s*[ap]m))(?:\s*(?:Uhr)?\s*(?:-|–|—|to|until|till|a|bis|às|до|至|～|"
    rf"~)\s*(?P<to>{_CLOCK}))?(?:\s*(?:Uhr)?\s*\(?(?P<zone>UTC(?:[+-]\d+)?|GMT(?:[+-]\d+)?|[A-Z]{{2,4}}T|"
    rf"[A-Z][a-z]+/[A-Z]\w+)\b)?",
    re.I,
)
_DAYS = {
    "Monday": r"mon(?:day)?s?|lunes|segunda(?:-feira)?|montags?|lundi|понедельник\w*|周一|星期一|月曜日?|월요일",
    "Tuesday": r"tue(?:s(?:day)?)?s?|martes|terça(?:-feira)?|dienstags?|mardi|вторник\w*|周二|星期二|火曜日?|화요일",
    "Wednesday": r"wed(?:nesday)?s?|mi[ée]rcoles|quarta(?:-feira)?|mittwochs?|mercredi|сред[ауы]|"
    r"周三|星期三|水曜日?|수요일",
    "Thursday": r"thu(?:rs(?:day)?)?s?|jueves|quinta(?:-feira)?|donnerstags?|jeudi|четверг\w*|"
    r"周四|星期四|木曜日?|목요일",
    "Friday": r"fri(?:day)?s?|viernes|sexta(?:-feira)?|freitags?|vendredi|пятниц\w*|周五|星期五|金曜日?|금요일",
    "Saturday": r"sat(?:urday)?s?|s[áa]bados?|samstags?|sonnabends?|samedi|суббот\w*|周六|星期六|土曜日?|토요일",
    "Sunday": r"sun(?:day)?s?|domingos?|sonntags?|dimanche|воскресень\w*|周日|周天|星期日|星期天|日曜日?|일요일",
}
_DAY = {name: re.compile(rf"(?<![a-zà-ÿ])(?:{words})(?![a-zà-ÿ])", re.I) for name, words in _DAYS.items()}
_FREQUENCIES: tuple[tuple[str, str], ...] = (
    (
        "continuous",
        r"continuous(?:ly)?|real[- ]?time|streaming|ongoing|wal[- ](?:archiv\w+|shipping|streaming)|"
        r"continu[oa]|kontinuierlich|непрерывн\w*|持续|连续|实时",
    ),
    (
        "hourly",
        r"hourly|every hour|each hour|cada hora|stündlich|horári[oa]|toutes les heures|каждый час|ежечасн\w*|"
        r"每小时|毎時|매시간",
    ),
    (
        "weekly",
        r"weekly|every week|each week|once a week|semanal(?:mente|es)?|wöchentlich\w*|hebdomadaire|"
        r"еженедельн\w*|раз в неделю|每周|毎週|週次|매주|주간",
    ),
    (
        "monthly",
        r"monthly|every month|each month|mensual(?:mente|es)?|mensal(?:mente)?|monatlich\w*|mensuel\w*|"
        r"ежемесячн\w*|раз в месяц|(?:of|in) (?:each|every|the) month|jeden monats|каждого месяца|de cada mes|"
        r"每月|毎月|月次|매월|월간",
    ),
    (
        "quarterly",
        r"quarterly|every quarter|trimestral(?:mente|es)?|vierteljährlich\w*|quartalsweise|ежекварталь\w*|"
        r"每季度|四半期|분기",
    ),
    ("yearly", r"yearly|annual(?:ly)?|every year|anual(?:mente|es)?|jährlich\w*|ежегодн\w*|每年|年次|매년"),
    (
        "daily",
        r"daily|nightly|every (?:day|night)|each (?:day|night)|once a day|di[aá]ri[oa](?:mente|s)?|täglich\w*|"
        r"quotidien\w*|ежедневн\w*|каждый день|每天|每日|毎日|日次|매일|일일|cada día|every 24 ?h\w*",
    ),
)
_FREQUENCY = tuple((name, re.compile(rf"(?<![a-zà-ÿ])(?:{words})(?![a-zà-ÿ])", re.I)) for name, words in _FREQUENCIES)
_EVERY = re.compile(r"\b(?:every|cada|alle|a cada|каждые)\s+|每", re.I)


def durations(text: str) -> list[Duration]:
    """Every duration in a text, in order."""
    found = []
    for match in _DURATION.finditer(text):
        name = next(unit for unit in _UNITS if match[unit])
        if name == "min" and match[name] == "M":
            continue
        number = match["upper"] or match["number"]
        value = float(number.replace(",", ".")) if number else float(_NUMBER_WORDS[match["word"].lower()])
        found.append(Duration(value * _UNITS[name][0], _shown(match, name, value), match.start(), match.end()))
    return found


def duration(text: str) -> Duration | None:
    """The first duration of a text; `immediate` and `next business day` are durations too."""
    found = durations(text)
    once = _AT_ONCE.search(text)
    if once and (not found or once.start() < found[0].start):
        return Duration(0.0, "immediate", once.start(), once.end())
    if found:
        return found[0]
    loose = _LOOSE.search(text)
    return Duration(None, loose[0].lower(), loose.start(), loose.end()) if loose else None


def _shown(match: re.Match[str], name: str, value: float) -> str:
    number = f"{value:g}"
    if match["upper"] and match["number"]:
        # "0-15 min" is within 15 minutes.
        number = match["upper"] if match["number"] == "0" else f"{match['number']}-{match['upper']}"
    if match["business"] and match["business"].strip().lower() in ("business", "working"):
        return f"{number} business {'day' if name == 'd' else name}" + ("s" if value != 1 else "")
    if name in ("month", "year"):
        return f"{number} {name}" + ("s" if value != 1 else "")
    return number + name


def comparisons(text: str) -> list[Comparison]:
    """Every comparison with a number in a text, in order: `< 200ms`, `over 85%`, `超过 80%`."""
    found = []
    for match in _COMPARISON.finditer(text):
        said = match["amount"] or match["said"] or match["cjk"]
        operator = _OPERATORS.get(match["op"] or "", "<" if match["less"] or match["cless"] else ">")
        number = re.match(r"[$€£¥]?([\d,.]*\d)", said)
        if number is None:
            continue
        after = said[number.end() :].strip()
        end = match.end()
        unit = after or _unit_after(text, end)
        if unit and not after:
            end = text.index(unit, end) + len(unit)
        found.append(
            Comparison(operator, _number(number[1]), unit, text[match.start() : end].strip(), match.start(), end)
        )
    return found


def _unit_after(text: str, end: int) -> str:
    match = re.match(rf"\s?-?({'|'.join(words for _, words in _UNITS.values())})(?![a-zA-Zà-ÿа-я])", text[end:], re.I)
    return match[1] if match else ""


def _number(text: str) -> float:
    plain = text.replace(",", "") if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", text) else text.replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        return 0.0


def times(text: str) -> Times | None:
    """The first time of day, or span of them, of a text."""
    for match in _TIMES.finditer(text):
        start, end = match["from"], match["to"] or ""
        meridiem = re.search(r"[ap]\.?m", end, re.I)
        first = _clock(start, meridiem[0] if meridiem and not re.search(r"[ap]\.?m", start, re.I) else "")
        last = _clock(end, "") if end else ""
        if first:
            return Times(first, last, match["zone"] or "", match.start())
    return None


def _clock(text: str, meridiem: str) -> str:
    match = re.match(r"(\d{1,2})(?:[:.h](\d\d))?\s*([ap]?)", text.lower())
    if match is None:
        return ""
    hour, minute, half = int(match[1]), int(match[2] or 0), match[3] or meridiem[:1].lower()
    if half == "p" and hour < 12:
        hour += 12
    if half == "a" and hour == 12:
        hour = 0
    return f"{hour:02}:{minute:02}"


def days(text: str) -> list[str]:
    """The days of the week that a text names, by their English names."""
    return [name for name, pattern in _DAY.items() if pattern.search(text)]


def frequency(text: str) -> str:
    """How often, of the words a text uses: daily, weekly, every 6h …; empty where it says nothing."""
    every = _EVERY.search(text)
    if every:
        length = duration(text[every.end() - 0 :])
        if length is not None and length.start <= 2 and length.seconds:
            return {3600.0: "hourly", 86_400.0: "daily", 604_800.0: "weekly"}.get(
                length.seconds, f"every {length.text}"
            )
        if days(text[every.end() : every.end() + 14]):
            return "weekly"
    hits = [(match.start(), name) for name, pattern in _FREQUENCY if (match := pattern.search(text))]
    return min(hits)[1] if hits else ""


def cron_frequency(expression: str) -> str:
    """How often a cron expression fires: hourly, daily, weekly, monthly, `every 15min`, or the expression itself."""
    named = {
        "@hourly": "hourly",
        "@daily": "daily",
        "@midnight": "daily",
        "@weekly": "weekly",
        "@monthly": "monthly",
        "@yearly": "yearly",
        "@annually": "yearly",
    }
    if expression in named:
        return named[expression]
    fields = expression.split()
    if len(fields) != 5:
        return ""
    minute, hour, day, month, weekday = fields
    if month not in ("*", "?"):
        return "quarterly" if month.startswith("*/3") or month.count(",") == 3 else "yearly"
    if day not in ("*", "?"):
        return "monthly"
    if weekday not in ("*", "?"):
        return "weekly" if weekday.isalnum() else "daily"
    if hour.isdigit():
        return "daily"
    if hour == "*" and minute.isdigit():
        return "hourly"
    step = re.fullmatch(r"\*/(\d+)", hour if hour != "*" else minute)
    return f"every {step[1]}{'h' if hour != '*' else 'min'}" if step else expression
