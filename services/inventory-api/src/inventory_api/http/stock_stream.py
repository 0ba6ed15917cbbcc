"""The event stream of stock.

An event's id is a position in the topics and means the same to every replica: a client that comes back, to this one or
to another, is told what it missed and nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from inventory_api.domain.news import Choice, News, NewsLog, Topical, read_position, write_position
from resilience_contracts import FeatureState
from resilience_delivery import Frame, StreamResponse, Streams, wire
from resilience_runtime import Clock

OPEN = "open"
RETRY_MS = (1_000, 5_000)
LOOK_S = 0.5
LIVE_UPDATES = "performance.live_updates"
AVAILABILITY_EVERY_S = {FeatureState.ENABLED: 0.0, FeatureState.FALLBACK: 5.0, FeatureState.DISABLED: 30.0}
"""How often changes of availability are sent; those in between are replaced by the newest. Edges go at once, always."""


class StockStream:
    """Tells news to open streams, as often as the feature `performance.live_updates` lets it.

    Args:
        log: what was read, up to now.
        streams: who listens.
        state: returns the state of that feature.
        clock: times what waits.
        rng: spreads when clients come back.
    """

    def __init__(
        self, log: NewsLog, streams: Streams, state: Callable[[], FeatureState], clock: Clock, rng: Random
    ) -> None:
        self._log = log
        self.streams = streams
        self._state = state
        self._clock = clock
        self._rng = rng
        self._waiting: dict[str, News] = {}
        self._held: dict[str, int] = {}
        self._sent_s = float("-inf")

    def tell(self, news: News) -> None:
        """Tell a piece of news now, or when it is time for it."""
        if news.about is not Topical.AVAILABILITY:
            self._send(news, self._position(self._held))
            return
        self._held.setdefault(news.place, news.offset)
        self._waiting.pop(news.sku, None)  # the newest goes last, so that offsets of a partition only grow
        self._waiting[news.sku] = news
        self._send_due()

    def forget(self) -> None:
        """Begin anew: the topics were lost, and positions mean nothing any more."""
        self._waiting.clear()
        self._held.clear()
        self.streams.hang_up()

    async def run(self) -> None:
        """Send what waits for its time, for ever."""
        while True:
            await self._clock.sleep(LOOK_S)
            self._send_due()

    def opened(self, choice: Choice, last_event_id: str | None) -> StreamResponse:
        """Return one client's stream: it opens with what was missed since an id, if that is still here."""
        came = read_position(last_event_id) if last_event_id else None
        cursor: Mapping[str, int] = {}

        def wants(frame: Frame) -> bool:
            news = frame.about
            return isinstance(news, News) and choice.takes(news) and news.offset >= cursor.get(news.place, 0)

        def opening() -> Sequence[Frame]:
            nonlocal cursor
            told = cursor = self._position(self._held)
            missed = self._log.after(came) if came is not None else None
            if came is None or missed is None:
                return [self._hello(told, resumed=False, missed=bool(last_event_id))]
            # A replica that is behind the one that the client was at says nothing until it has come so far.
            cursor = {place: max(offset, came.get(place, 0)) for place, offset in told.items()}
            again = (news for news in missed if news.offset < told[news.place] and choice.takes(news))
            return [self._hello(came, resumed=True, missed=False), *_replay(again, came)]

        return StreamResponse(self.streams, wants, opening)

    def _send_due(self) -> None:
        now_s = self._clock.monotonic()
        if not self._waiting or now_s < self._sent_s + AVAILABILITY_EVERY_S[self._state()]:
            return
        told, self._waiting, self._held, self._sent_s = [*self._waiting.values()], {}, {}, now_s
        later: dict[str, int] = {}
        positions = []
        for news in reversed(told):
            positions.append(self._position(later))
            later[news.place] = news.offset
        for news, position in zip(told, reversed(positions), strict=True):
            self._send(news, position)

    def _position(self, held: Mapping[str, int]) -> dict[str, int]:
        return self._log.position | dict(held)

    def _send(self, news: News, position: Mapping[str, int]) -> None:
        if self.streams.clients:
            self.streams.send(_frame(news, position))

    def _hello(self, position: Mapping[str, int], *, resumed: bool, missed: bool) -> Frame:
        data = json.dumps({"resumed": resumed, "missed": missed})
        # Each client is told another time, so that they do not all come back at once.
        named = write_position(position)
        return Frame(OPEN, "", wire(OPEN, data, named, self._rng.randint(*RETRY_MS)), named)


def _replay(missed: Iterable[News], position: Mapping[str, int]) -> list[Frame]:
    reached, frames = dict(position), []
    for news in missed:
        reached[news.place] = news.offset + 1
        frames.append(_frame(news, reached))
    return frames


def _frame(news: News, position: Mapping[str, int]) -> Frame:
    named = write_position(position)
    # Of availability a client who is behind needs the newest; of edges each one.
    subject = news.sku if news.about is Topical.AVAILABILITY else news.event_id
    return Frame(news.about, subject, wire(news.about, news.data, named), named, about=news)
