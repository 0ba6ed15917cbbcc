"""Answers about stock in words. The figures are ours; a model only phrases them, and rules do when it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from inventory_api.domain.gate import Action, Behaviour
from inventory_api.domain.stock import Bucket

from .errors import BusyError, FeatureRefusedError, UnavailableError
from .stock_reader import Reading, StockReader
from .store import Store
from .switches import Switches

SAMPLE = 20
SHORT_TOKENS, FULL_TOKENS = 80, 300
_TASK = (
    "You answer a shop's questions about stock from the figures given, briefly, in the question's language. "
    "Never state a quantity that is not among the figures."
)


class Writer(Protocol):
    """A language model."""

    async def write(self, task: str, text: str, tokens: int, *, sparing: bool = False) -> str:
        """Return what it writes, bounded in length and time.

        Args:
            task: what it is for, and the rules.
            text: what to answer.
            tokens: most of what it may write.
            sparing: by a smaller model, and few at once.

        Raises:
            UnavailableError: it does not answer, or too many ask.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whether a model wrote it, and the figures that it speaks of."""

    text: str
    by_model: bool
    figures: tuple[Reading, ...]


class Assistant:
    """Answers questions about stock."""

    def __init__(self, writer: Writer, stock: StockReader, store: Store, switches: Switches) -> None:
        self._writer = writer
        self._stock = stock
        self._store = store
        self._switches = switches

    async def answer(self, question: str, skus: Sequence[str]) -> Reply:
        """Answer a question, in words of a model if one answers in time.

        Raises:
            FeatureRefusedError: the assistant is off.
        """
        behaviour = self._switches.admit(Action.ASSIST)
        figures = await self._figures(skus)
        facts = summary(figures)
        sparing = behaviour is Behaviour.REDUCED
        tokens = SHORT_TOKENS if sparing else FULL_TOKENS
        asked = f"Question: {question}\nFigures:\n{facts}"
        try:
            text = await self._writer.write(_TASK, asked, tokens, sparing=sparing)
        except UnavailableError:
            return Reply(facts, by_model=False, figures=figures)
        return Reply(text, by_model=True, figures=figures)

    async def _figures(self, skus: Sequence[str]) -> tuple[Reading, ...]:
        try:
            found = await self._stock.many(skus or await self._sample())
        except (FeatureRefusedError, UnavailableError, BusyError):
            return ()
        return tuple(found.values())

    async def _sample(self) -> list[str]:
        async with self._store.reading() as transaction:
            return [sku.sku for sku in await transaction.catalogue.skus("", SAMPLE)]


def summary(figures: Sequence[Reading]) -> str:
    """Say in plain sentences what the figures say."""
    if not figures:
        return "No figures are known now."
    return "\n".join(_sentence(reading) for reading in figures)


def _sentence(reading: Reading) -> str:
    stock = reading.stock
    if reading.stale:
        return f"{stock.sku.name} ({stock.sku.sku}) was {stock.bucket} {round(reading.age_s)} s ago."
    note = {Bucket.OUT: ", out of stock", Bucket.LOW: ", running low", Bucket.IN: ""}[stock.bucket]
    return f"{stock.sku.name} ({stock.sku.sku}): {stock.available} available{note}."
