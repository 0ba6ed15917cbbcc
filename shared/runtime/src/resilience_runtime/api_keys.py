"""Who calls: keys of which only digests are kept in a file, reloaded when it changes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .errors import StartupError

log = structlog.get_logger(__name__)

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone whose key is known, and what it is good for."""

    name: str
    scopes: frozenset[str]


class KeyEntry(BaseModel):
    """An entry of the file of keys. No salt is needed: a key is 256 random bits, not a password."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: frozenset[str]


_ENTRIES = TypeAdapter(tuple[KeyEntry, ...])


def create_key(name: str, scopes: frozenset[str]) -> tuple[str, KeyEntry]:
    """Return a new random key, to be shown once, and the entry to keep."""
    key = secrets.token_urlsafe(KEY_BYTES)
    return key, KeyEntry(name=name, sha256=_digest(key), scopes=scopes)


class KeyRing:
    """The keys of a file; without a file nobody has one."""

    def __init__(self, entries: tuple[KeyEntry, ...], path: Path | None = None) -> None:
        self._entries = entries
        self._path = path
        self._mark = _mark(path)

    @classmethod
    def load(cls, path: Path | None) -> KeyRing:
        """Read a file of keys.

        Raises:
            StartupError: it cannot be read, or an entry is wrong.
        """
        return cls(_read(path) if path else (), path)

    def caller(self, key: str) -> Caller | None:
        """Return whose key this is, or None. A changed file counts at once; a broken one changes nothing."""
        self._reload()
        digest = _digest(key)
        found = [entry for entry in self._entries if hmac.compare_digest(entry.sha256, digest)]
        return Caller(found[0].name, found[0].scopes) if found else None

    def _reload(self) -> None:
        mark = _mark(self._path)
        if self._path is None or mark == self._mark:
            return
        self._mark = mark
        try:
            self._entries = _read(self._path)
            log.info("keys reloaded", keys=len(self._entries))
        except StartupError as error:
            log.error("keys not reloaded", reason=str(error))  # noqa: TRY400 - the reason says it all


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _mark(path: Path | None) -> tuple[int, int, int] | None:
    try:
        status = path.stat() if path else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else None


def _read(path: Path) -> tuple[KeyEntry, ...]:
    try:
        return _ENTRIES.validate_json(path.read_bytes())
    except OSError as error:
        raise StartupError(f"API_KEYS_FILE={path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in fault["loc"]) or "file"
        raise StartupError(f"API_KEYS_FILE={path}: {where}: {fault['msg']}") from error
