"""Images of SKUs, and what stands in for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from inventory_api.domain.errors import InvalidSkuError, UnknownImageError
from inventory_api.domain.gate import Action, Behaviour
from inventory_api.domain.sku import Sku, check_sku

from .errors import UnavailableError
from .switches import Switches

_SIGNATURES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/webp": b"RIFF",
}
_PLACEHOLDER = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" role="img" aria-label="No image now">'
    b'<rect width="64" height="64" fill="#e5e7eb"/><path d="M12 46l14-16 10 11 6-6 10 11z" fill="#9ca3af"/>'
    b'<circle cx="44" cy="22" r="5" fill="#9ca3af"/></svg>'
)


@dataclass(frozen=True, slots=True)
class Image:
    """Bytes with their media type; `etag` is None for a placeholder."""

    content: bytes
    media_type: str
    etag: str | None


class ImageStore(Protocol):
    """Where images are kept. Raises `UnavailableError` when it is away."""

    async def put(self, name: str, content: bytes, media_type: str) -> str:
        """Keep an image and return its entity tag."""
        ...

    async def get(self, name: str) -> Image | None:
        """Return an image, or None when there is none."""
        ...


def media_type_of(content: bytes) -> str | None:
    """Return the media type that the content itself shows, or None when it is no image that is taken."""
    return next((kind for kind, start in _SIGNATURES.items() if content.startswith(start)), None)


class Images:
    """Keeps and shows images."""

    def __init__(self, store: ImageStore, switches: Switches) -> None:
        self._store = store
        self._switches = switches

    async def keep(self, sku: Sku, content: bytes, media_type: str) -> str:
        """Keep a SKU's image and return its entity tag.

        Raises:
            UnavailableError: the store is away; nothing is kept.
        """
        return await self._store.put(sku.sku, content, media_type)

    async def show(self, sku: str) -> Image:
        """Return a SKU's image, or a placeholder while the store is away.

        Raises:
            FeatureRefusedError: images are off.
            UnknownImageError: the SKU has none.
        """
        try:
            check_sku(sku)
        except InvalidSkuError:
            raise UnknownImageError from None
        if self._switches.admit(Action.READ_IMAGE) is Behaviour.REDUCED:
            return placeholder()
        try:
            image = await self._store.get(sku)
        except UnavailableError:
            return placeholder()
        if image is None:
            raise UnknownImageError
        return image


def placeholder() -> Image:
    """Return the image that stands in for any other."""
    return Image(_PLACEHOLDER, "image/svg+xml", None)
