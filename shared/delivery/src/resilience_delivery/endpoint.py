"""Where webhooks go, as subscribers write it: an https URL (http where the operator allows its network)."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

ENDPOINT_PATTERN = (
    r"^https?://([A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?|\[([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\])"
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    r"([/?][!-\"$-~]*)?$"
)
"""As the document has it, so that whoever keeps to the document is not refused. An IPv6 address is written whole."""


def _endpoint(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"https", "http"} and parts.hostname and (parts.port is None or parts.port)
    except ValueError as error:
        raise ValueError("not a URL") from error
    if not usable or parts.username or parts.password or parts.fragment:
        raise ValueError("an https URL with a host, without user, password and fragment")
    return url


Endpoint = Annotated[str, Field(max_length=2000, pattern=ENDPOINT_PATTERN), AfterValidator(_endpoint)]
"""A URL as requests give it."""
