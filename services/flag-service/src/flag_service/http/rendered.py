"""A sheet of flags as bytes: each answer is written once, and joined for every caller who gets it."""

from __future__ import annotations

import asyncio
import json
from itertools import groupby
from typing import Any

from flag_service.domain.evaluation import Context, Evaluation, Failure
from flag_service.domain.flags import Sheet

from .documents import Document

TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
AT_ONCE = 500
"""Answers between two turns of the event loop: about two milliseconds."""


class RenderedSheet:
    """The flags of one picture, ready to be sent.

    What every caller gets alike is joined in advance: one piece of bytes for each run of such flags.
    """

    def __init__(self, sheet: Sheet, tail: dict[str, Any]) -> None:
        self.sheet = sheet
        self.tail = tail
        self._tail = b"]," + to_json(tail)[1:]
        self._written: dict[Evaluation, bytes] = {}
        self._joined: dict[int, bytes] = {}
        self._same_for_all: Document | None = None
        self._runs = [
            (depends, list(keys))
            for depends, keys in groupby(sheet.catalogue, sheet.catalogue.depends_on_caller)
        ]

    def one(self, key: str, context: Context) -> bytes:
        """Return one flag.

        Raises:
            KeyError: there is no such flag.
            TargetingKeyMissingError: a percentage does not know whom it is asked for.
        """
        return self._bytes(self.sheet.evaluate(key, context))

    async def all(self, context: Context) -> Document:
        """Return every flag, with the tag over these very bytes."""
        if self._same_for_all is not None:
            return self._same_for_all
        document = Document.of(await self._body(context))
        if not self.sheet.catalogue.contextual:
            self._same_for_all = document
        return document

    async def _body(self, context: Context) -> bytes:
        pieces = []
        for index, (depends, keys) in enumerate(self._runs):
            pieces.append(
                await self._join(keys, context) if depends else await self._join_once(index, keys, context)
            )
        return b'{"flags":[' + b",".join(pieces) + self._tail

    async def _join_once(self, index: int, keys: list[str], context: Context) -> bytes:
        if index not in self._joined:
            self._joined[index] = await self._join(keys, context)
        return self._joined[index]

    async def _join(self, keys: list[str], context: Context) -> bytes:
        pieces: list[bytes] = []
        for start in range(0, len(keys), AT_ONCE):
            if start:
                await asyncio.sleep(0)
            answers = self.sheet.answers(keys[start : start + AT_ONCE], context)
            pieces.extend(map(self._bytes, answers))
        return b",".join(pieces)

    def _bytes(self, answer: Evaluation | Failure) -> bytes:
        if isinstance(answer, Failure):
            return to_json(
                {"key": answer.key, "errorCode": TARGETING_KEY_MISSING, "errorDetails": answer.details}
            )
        written = self._written.get(answer)
        if written is None:
            written = self._written[answer] = to_json(_flag(answer))
        return written


def to_json(value: object) -> bytes:
    """Write JSON without spaces; a float keeps its decimal point."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _flag(evaluation: Evaluation) -> dict[str, Any]:
    value = {} if evaluation.value is None else {"value": evaluation.value}
    return {
        "key": evaluation.key,
        **value,
        "reason": evaluation.reason.value,
        "variant": evaluation.variant,
        "metadata": dict(evaluation.metadata),
    }
