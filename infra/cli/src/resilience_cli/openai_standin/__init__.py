"""A stand-in for OpenAI: the real HTTP API, made-up answers, and orders to be slow, to refuse and to fail.

Every answer is labelled with the header `X-Stand-In` and a text that says so.
"""

from __future__ import annotations

from .app import create_app
from .control import Control

__all__ = ["Control", "create_app"]
