"""Where webhooks go, as subscribers write it: an https URL (http where the operator allows its network)."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

NAME_CHARACTERS = 253
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = rf"{_LABEL}(\.{_LABEL}){{0,126}}"
_IPV6 = r"\[([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\]"
ENDPOINT_PATTERN = (
    rf"^https?://({_NAME}|{_IPV6})"
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    r"([/?][!-\"$-~]*)?$"
)
"""As the document has it, so that whoever keeps to the document is not refused. An IPv6 address is written whole."""
_HOST = re.compile(rf"{_NAME}|{_IPV6}")
_ENDPOINT = re.compile(ENDPOINT_PATTERN)


def _endpoint(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError("not a URL") from error
    if parts.scheme not in {"https", "http"} or not parts.netloc or "@" in parts.netloc or parts.fragment:
        raise ValueError("an https URL with a host, without user, password and fragment")
    host = re.sub(r":[0-9]*$", "", parts.netloc)
    if len(host) > NAME_CHARACTERS or not _HOST.fullmatch(host):
        raise ValueError(
            "the host is a name of parts of 1 to 63 letters, digits and inner hyphens, 253 characters in all,"
            " or an address; an IPv6 address in brackets, with all eight groups"
        )
    if not _ENDPOINT.fullmatch(url):
        raise ValueError("after the host stand a port of 1 to 65535, if any, and a path in printable ASCII")
    return url


Endpoint = Annotated[
    str, Field(max_length=2000, json_schema_extra={"pattern": ENDPOINT_PATTERN}), AfterValidator(_endpoint)
]
"""A URL as requests give it. It is not pydantic that looks at the pattern: its message would be the pattern."""
