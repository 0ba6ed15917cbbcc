"""Search: words find, and a model that answers in time puts what was found in order by meaning."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Protocol

from inventory_api.domain.gate import Behaviour
from inventory_api.domain.sku import Sku

from .errors import UnavailableError
from .listing import Listing

CANDIDATES = 50


class Embedder(Protocol):
    """A model of meaning."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector for each text, bounded in time.

        Raises:
            UnavailableError: it does not answer.
        """
        ...


class Search:
    """Finds SKUs."""

    def __init__(self, listing: Listing, embedder: Embedder) -> None:
        self._listing = listing
        self._embedder = embedder

    async def find(self, text: str, limit: int, behaviour: Behaviour) -> tuple[Sequence[Sku], bool]:
        """Return SKUs, best first, and whether a model ordered them."""
        found = await self._listing.search(text, CANDIDATES)
        if behaviour is Behaviour.REDUCED or len(found) <= 1:
            return found[:limit], False
        try:
            wanted, *vectors = await self._embedder.embed([text, *(_told(sku) for sku in found)])
        except UnavailableError:
            return found[:limit], False
        nearness = {sku.sku: _cosine(wanted, vector) for sku, vector in zip(found, vectors, strict=True)}
        exact = {sku.sku for sku in found if text in (sku.sku, *sku.barcodes)}
        ordered = sorted(found, key=lambda sku: (sku.sku not in exact, -nearness[sku.sku]))
        return ordered[:limit], True


def _told(sku: Sku) -> str:
    return f"{sku.name} ({sku.category})" if sku.category else sku.name


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    size = sqrt(sum(x * x for x in one)) * sqrt(sum(y * y for y in other))
    return sum(x * y for x, y in zip(one, other, strict=True)) / size if size else 0.0
