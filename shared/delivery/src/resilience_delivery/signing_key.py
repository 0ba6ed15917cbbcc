"""The key of the service: secrets of webhooks and stream tokens are made from it, so that none is stored.

Every replica needs the same one. A replica alone makes its own and keeps it beside its snapshot.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from datetime import datetime
from pathlib import Path

from resilience_runtime.errors import StartupError

from .webhook import Subscription

FILE = "signing.key"
LEAST_BYTES = 32


class SigningKey:
    """Random bytes, from which a secret of its own follows for each purpose."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def load(cls, path: Path | None, state_dir: Path) -> SigningKey:
        """Read the key of a file, or this replica's own, made at the first start.

        Raises:
            StartupError: it cannot be read or kept, or has fewer than 32 bytes.
        """
        try:
            key = path.read_bytes().strip() if path else _own(state_dir / FILE)
        except OSError as error:
            raise StartupError(f"SIGNING_KEY_FILE={path or ''} cannot be read ({error.strerror})") from error
        if len(key) < LEAST_BYTES:
            raise StartupError(f"SIGNING_KEY_FILE={path}: a key has {LEAST_BYTES} bytes at least")
        return cls(key)

    @property
    def id(self) -> str:
        """Name of the key, which tells nothing of it."""
        return self.derive("id").hex()[:16]

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes that are good for one purpose."""
        return hmac.digest(self._key, purpose.encode(), hashlib.sha256)

    def webhook_secret(self, subscription_id: str, number: int = 0) -> str:
        """Return a secret of a subscription, as Standard Webhooks writes it."""
        purpose = f"webhook {subscription_id}" + (f" {number}" if number else "")
        return "whsec_" + base64.b64encode(self.derive(purpose)).decode()

    def webhook_secrets(self, subscription: Subscription, now: datetime) -> list[str]:
        """Return the secrets to sign with now, the newest first."""
        return [self.webhook_secret(subscription.id, number) for number in subscription.secrets(now)]


def _own(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_hex(LEAST_BYTES).encode()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
    draft.replace(path)
    return key
