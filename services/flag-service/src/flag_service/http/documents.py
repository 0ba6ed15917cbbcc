"""Answers as bytes with their tag, made once per state of the switchboard and given to everyone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request, Response

from flag_service.domain.tags import entity_tag, matches

JSON = "application/json"
REVALIDATE = "no-cache"


@dataclass(frozen=True, slots=True)
class Document:
    """A body and the strong tag over its bytes."""

    body: bytes
    tag: str
    media_type: str = JSON

    @classmethod
    def of(cls, body: bytes, media_type: str = JSON) -> Document:
        """Tag a body."""
        return cls(body, entity_tag(body), media_type)

    def answer(self, request: Request) -> Response:
        """Answer 200 with the body, or 304 without one to a caller that has it."""
        headers = {"ETag": self.tag, "Cache-Control": REVALIDATE}
        if matches(request.headers.get("if-none-match"), self.tag):
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


KEPT = 1000


class Documents:
    """A cache of documents which is empty again after every change of the state."""

    def __init__(self, revision: Callable[[], object]) -> None:
        self._revision = revision
        self._made_for: object = None
        self._made: dict[str, Document] = {}

    def get(self, name: str, make: Callable[[], bytes]) -> Document:
        """Return a document, made now if the state has changed since it was made."""
        if self._made_for != self._revision():
            self._made_for = self._revision()
            self._made.clear()
        if name not in self._made:
            if len(self._made) >= KEPT:  # scopes that follow another have as many names as somebody asks for
                self._made.clear()
            self._made[name] = Document.of(make())
        return self._made[name]
