"""Kept answers in PostgreSQL: written in the transaction that did the work, so both are there or neither."""

from __future__ import annotations

import json

from sqlalchemy import text

from inventory_api.application.store import Answer, Kept
from inventory_api.domain.errors import KeyInFlightError

from .session import Session

_TRY_CLAIM = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
_CLAIM = text("SELECT true FROM (SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))) AS claimed")
_FIND = text(
    "SELECT request_sha256, status, headers, body FROM answers WHERE caller = :caller AND key = :key"
)
_KEEP = text("""
    INSERT INTO answers (caller, key, request_sha256, status, headers, body)
    VALUES (:caller, :key, :request_sha256, :status, CAST(:headers AS jsonb), :body)
""")


class SqlAnswers:
    """Kept answers over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def claim(self, caller: str, key: str, *, wait: bool = False) -> Kept | None:
        """Take the key's lock until the transaction ends, then look; in two statements, for a fresh snapshot."""
        lock = _CLAIM if wait else _TRY_CLAIM
        claimed = await self._session.execute(lock, {"name": f"{caller}\n{key}"})
        if not claimed.scalar_one():
            raise KeyInFlightError
        row = (await self._session.execute(_FIND, {"caller": caller, "key": key})).first()
        if row is None:
            return None
        return Kept(row.request_sha256, Answer(row.status, row.headers, row.body))

    async def keep(self, caller: str, key: str, kept: Kept) -> None:
        """Keep an answer."""
        values = {
            "caller": caller,
            "key": key,
            "request_sha256": kept.request_sha256,
            "status": kept.answer.status,
            "headers": json.dumps(dict(kept.answer.headers)),
            "body": kept.answer.body,
        }
        await self._session.execute(_KEEP, values)
