"""What the routes work with that tell of news, and how they get at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from inventory_api.application.errors import UnavailableError
from inventory_api.application.webhooks import WebhookDesk

from .stock_stream import StockStream

RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Live:
    """Everything that a route of streams or webhooks may use."""

    stream: StockStream
    desk: WebhookDesk
    reading: Callable[[], bool]

    def check_reading(self) -> None:
        """Refuse while it is not known how far the topics go.

        Raises:
            UnavailableError: they have not been read yet.
        """
        if not self.reading():
            raise UnavailableError("kafka", "the topics have not been read yet", RETRY_S)


async def _live(request: Request) -> Live:
    live: Live = request.app.state.live
    return live


Living = Annotated[Live, Depends(_live)]
