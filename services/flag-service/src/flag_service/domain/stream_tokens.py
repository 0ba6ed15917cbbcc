"""Short-lived tokens for event streams: a browser's EventSource sends no header, so its URL carries one."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

ROUND_S = 900
"""Tokens are alike within a round, so that what carries one stays cacheable; each is good for the next too."""
LONGEST = 100


@dataclass(frozen=True, slots=True)
class StreamToken:
    """Opens streams until a time; what is open then stays open."""

    text: str
    expires_at: datetime


class StreamTokens:
    """Makes and checks tokens. Replicas with the same secret make the same ones."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, now: datetime) -> StreamToken:
        """Return a token that is good for 15 to 30 minutes."""
        expires_s = (int(now.timestamp()) // ROUND_S + 2) * ROUND_S
        return StreamToken(self._write(expires_s), datetime.fromtimestamp(expires_s, UTC))

    def good(self, text: str, now: datetime) -> bool:
        """Say whether a token is one of ours and not over."""
        expires = text.partition(".")[0]
        if len(text) > LONGEST or not (expires.isascii() and expires.isdigit()):
            return False
        return hmac.compare_digest(self._write(int(expires)), text) and int(expires) > now.timestamp()

    def _write(self, expires_s: int) -> str:
        return f"{expires_s}.{hmac.new(self._secret, str(expires_s).encode(), hashlib.sha256).hexdigest()}"
