"""The spider: from the register's front page through its lists to every record."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import scrapy
from scrapy.http import Response, TextResponse
from twisted.python.failure import Failure

PROBE_RECORDS_PER_KIND = 10
KIND_OF_CODE = (
    (re.compile(r"ECE\d+$"), "certificadores"),
    (re.compile(r"EC\d+$"), "estandares"),
    (re.compile(r"CE\d+$"), "centros"),
)
FIELDS = {
    "estandares": ("title", "sector", "level", "committee", "published_on", "status"),
    "certificadores": ("name", "kind", "state", "email", "standards"),
    "centros": ("name", "certifier_code", "state", "municipality"),
}


class LayoutError(Exception):
    """A page no longer has the markup that the selectors expect."""


def kind_of(code: str) -> str:
    """`EC0001` → estandares, `ECE001` → certificadores, `CE0001` → centros. Raises ValueError for other codes."""
    for pattern, kind in KIND_OF_CODE:
        if pattern.match(code):
            return kind
    raise ValueError(f"{code!r} is no code of a standard (EC0001), certifier (ECE001) or centre (CE0001)")


class RegisterSpider(scrapy.Spider):
    """`mode` is `full`, `probe` (the first ten records of each kind) or `codes` (the named records alone)."""

    name = "renec"

    def __init__(self, registry_url: str, mode: str, codes: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.registry, self.mode, self.codes = registry_url, mode, codes
        self.expected = len(codes)

    async def start(self) -> AsyncIterator[scrapy.Request]:
        if self.mode == "codes":
            for code in self.codes:
                yield self.record_request(kind_of(code), code)
        else:
            yield scrapy.Request(f"{self.registry}/RENEC", self.parse_home, errback=self.failed)

    def record_request(self, kind: str, code: str) -> scrapy.Request:
        url = f"{self.registry}/RENEC/{kind}/{code}"
        return scrapy.Request(url, self.parse_record, errback=self.failed, cb_kwargs={"kind": kind})

    def parse_home(self, response: TextResponse) -> Iterator[scrapy.Request]:
        totals = response.css("li.total")
        if not totals:
            raise LayoutError("no totals on the front page")
        for total in totals:
            count = int(total.attrib["data-count"])
            self.expected += count if self.mode == "full" else min(count, PROBE_RECORDS_PER_KIND)
            kind = total.attrib["data-kind"]
            yield response.follow(total.css("a")[0], self.parse_list, errback=self.failed, cb_kwargs={"kind": kind})

    def parse_list(self, response: TextResponse, kind: str) -> Iterator[scrapy.Request]:
        after = response.css("a[rel=next]")
        if after and self.mode == "full":
            yield response.follow(after[0], self.parse_list, errback=self.failed, cb_kwargs={"kind": kind})
        codes = response.css("a.item::text").getall()
        if not codes:
            raise LayoutError(f"no entries in the list {response.url}")
        for code in codes if self.mode == "full" else codes[:PROBE_RECORDS_PER_KIND]:
            yield self.record_request(kind, code)

    def parse_record(self, response: TextResponse, kind: str) -> Iterator[dict[str, Any]]:
        values = {node.attrib["data-field"]: node.css("::text").get("") for node in response.css("dl.ficha dd")}
        absent = [name for name in ("code", *FIELDS[kind]) if not values.get(name)]
        if absent:
            raise LayoutError(f"no {', '.join(absent)} in the record {response.url}")
        record: dict[str, Any] = {name: values[name] for name in ("code", *FIELDS[kind])}
        for name in ("level", "standards"):
            if name in record:
                record[name] = int(record[name])
        if "published_on" in record:
            record["published_on"] = date.fromisoformat(record["published_on"])
        yield {"kind": kind, "url": response.url, "record": record}

    def failed(self, failure: Failure) -> None:
        """A request that brought no page: counted and logged by the recorder."""
        response: Response | None = getattr(failure.value, "response", None)
        self.crawler.signals.send_catch_log(  # type: ignore[union-attr]
            "request_failed",
            url=failure.request.url,  # type: ignore[attr-defined]
            error_type=f"Http{response.status}" if response is not None else failure.type.__name__,
            message=failure.getErrorMessage(),
        )
