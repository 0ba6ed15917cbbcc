"""What keeps other sites away from the console's form: their requests are told apart, and lack the token.

A browser says where a form was sent from (Sec-Fetch-Site, else Origin). The token is the same random value in a
cookie that no other site can send or read, and in the form; two replicas need no secret in common for it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from resilience_runtime.problem import Problem

COOKIE = "resilience-form"
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
OWN_SITE = frozenset({"same-origin", "none"})

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def form_token(request: Request) -> str:
    """Return the token of the caller's browser, a new one if it has none."""
    held = request.cookies.get(COOKIE, "")
    return held if TOKEN.fullmatch(held) else secrets.token_urlsafe(16)


def give_token(request: Request, response: Response, token: str) -> None:
    """Let the browser keep its token."""
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, token, path="/hold", httponly=True, samesite="strict", secure=secure)


def check_form(request: Request, token: str) -> None:
    """Refuse a form that did not come from our own page.

    Raises:
        Problem: 403.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        foreign = site not in OWN_SITE
    else:
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign:
        raise Problem(403, "foreign_form", "This was sent from another site, so nothing was done.")
    held = request.cookies.get(COOKIE, "")
    if not TOKEN.fullmatch(held) or not hmac.compare_digest(held, token):
        detail = (
            "This form is not from this browser or too old, so nothing was done. Check it and send it again."
        )
        raise Problem(403, "form_expired", detail)
