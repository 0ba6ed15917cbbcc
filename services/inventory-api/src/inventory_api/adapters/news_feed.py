"""From records of stock and its changes to news."""

from __future__ import annotations

import json
from collections.abc import Callable

from inventory_api.domain.news import News, NewsLog, Novelty, Topical
from resilience_contracts import (
    BackInStock,
    CodecError,
    LedgerRecorded,
    LowStock,
    StockState,
    Topic,
    UnknownEventError,
    decode,
    format_time,
)
from resilience_contracts.inventory_events import StockEdge
from resilience_runtime import BadMessage, Message

TOPICS = (Topic.CHANGES, Topic.STOCK)
RECENT_S = 120.0
"""A replica that starts reads what was told so lately; who was cut off before gets the rest from the topics."""
REMEMBERED = 5_000
NEWS_KEPT = 5_000
AVAILABILITY = "retail.inventory.availability.changed.v1"
_TYPE, _LEDGER = "ce_type", LedgerRecorded.type.encode()
_EDGES: dict[str, Topical] = {LowStock.type: Topical.LOW, BackInStock.type: Topical.BACK}


def place_of(message: Message) -> str:
    """Name the partition of a record."""
    return f"{message.topic}/{message.partition}"


def news_of(message: Message, novelty: Novelty) -> News | None:
    """Return the news in a record, if there is any.

    Raises:
        BadMessage: it is no event of these topics.
    """
    if message.value is None or any(name == _TYPE and value == _LEDGER for name, value in message.headers):
        return None
    try:
        event = decode(message.value, message.headers).event
    except (CodecError, UnknownEventError) as error:
        raise BadMessage(str(error)) from error
    if isinstance(event, StockState):
        return _availability(event, message, novelty)
    if isinstance(event, StockEdge):
        return _edge(event, message) if novelty.edge(event.event_id) else None
    if isinstance(event, LedgerRecorded):
        return None
    raise BadMessage(f"{event.type} does not belong on {message.topic}")


class NewsFeed:
    """Fills the log, and tells each piece of news as it comes."""

    def __init__(self, log: NewsLog, tell: Callable[[News], None], changed: Callable[[], None]) -> None:
        self._log = log
        self._tell = tell
        self._changed = changed
        self._novelty = Novelty(REMEMBERED)

    def apply(self, message: Message) -> None:
        """Take one record.

        Raises:
            BadMessage: it is no event of these topics.
        """
        place, news = place_of(message), None
        if self._log.knows(place, message.offset):
            return
        try:
            news = news_of(message, self._novelty)
        finally:
            self._log.take(place, message.offset, news)
        if news is not None:
            self._tell(news)
            self._changed()

    def forget(self) -> None:
        """Prepare for the topics to be read anew, as they were lost."""
        self._novelty = Novelty(REMEMBERED)
        self._log.forget()


def _edge(event: StockEdge, message: Message) -> News:
    return News(
        about=_EDGES[event.type],
        sku=event.sku,
        locations=frozenset({event.location}),
        event_id=event.event_id,
        type=event.type,
        time=format_time(event.time),
        data=event.model_dump_json(),
        place=place_of(message),
        offset=message.offset,
    )


def _availability(state: StockState, message: Message, novelty: Novelty) -> News | None:
    available = {place.location: place.available for place in state.locations}
    where = novelty.changed(state.sku, available)
    if not where:
        return None
    as_of = format_time(state.as_of)
    data = {
        "sku": state.sku,
        "sequence": state.sequence,
        "available": state.available,
        "locations": [{"location": name, "available": count} for name, count in available.items()],
        "as_of": as_of,
    }
    return News(
        about=Topical.AVAILABILITY,
        sku=state.sku,
        locations=where,
        event_id=f"{AVAILABILITY}/{state.event_id}",
        type=AVAILABILITY,
        time=as_of,
        data=json.dumps(data, separators=(",", ":"), ensure_ascii=False),
        place=place_of(message),
        offset=message.offset,
    )
