"""SKUs and locations in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from inventory_api.domain.errors import LocationExistsError, SkuExistsError
from inventory_api.domain.sku import Location, LocationKind, NewLocation, NewSku, Sku, fold

from .session import Row, Session

_ADD_SKU = text("""
    INSERT INTO skus (sku, sku_fold, name, category, barcodes, attributes, safety_stock, reorder_point,
                      unit_cost, backorder_limit)
    VALUES (:sku, :fold, :name, :category, CAST(:barcodes AS text[]), CAST(:attributes AS jsonb),
            :safety_stock, :reorder_point, :unit_cost, :backorder_limit)
    ON CONFLICT DO NOTHING
    RETURNING *
""")
_SKUS = text("SELECT * FROM skus WHERE sku > :after ORDER BY sku LIMIT :limit")
_KNOWN_SKUS = text("SELECT sku FROM skus WHERE sku = ANY(CAST(:names AS text[]))")
_ADD_LOCATION = text("""
    INSERT INTO locations (code, code_fold, name, kind) VALUES (:code, :fold, :name, :kind)
    ON CONFLICT DO NOTHING
    RETURNING *
""")
_LOCATIONS = text("SELECT * FROM locations WHERE code > :after ORDER BY code LIMIT :limit")
_KNOWN_LOCATIONS = text("SELECT code FROM locations WHERE code = ANY(CAST(:names AS text[]))")


class SqlCatalogue:
    """SKUs and locations over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add_sku(self, new: NewSku) -> Sku:
        """Add a SKU unless it, or one that differs only in case, exists."""
        row = await self._one(_ADD_SKU, {**_sku_values(new), "fold": fold(new.sku)})
        if row is None:
            raise SkuExistsError
        return sku_of(row)

    async def skus(self, after: str, limit: int) -> list[Sku]:
        """Return a page of SKUs."""
        rows = await self._session.execute(_SKUS, {"after": after, "limit": limit})
        return [sku_of(row) for row in rows]

    async def known_skus(self, skus: Sequence[str]) -> set[str]:
        """Return which of these exist."""
        rows = await self._session.execute(_KNOWN_SKUS, {"names": list(skus)})
        return set(rows.scalars())

    async def add_location(self, new: NewLocation) -> Location:
        """Add a location unless it, or one that differs only in case, exists."""
        values = {"code": new.code, "fold": fold(new.code), "name": new.name, "kind": new.kind.value}
        row = await self._one(_ADD_LOCATION, values)
        if row is None:
            raise LocationExistsError
        return _location_of(row)

    async def locations(self, after: str, limit: int) -> list[Location]:
        """Return a page of locations."""
        rows = await self._session.execute(_LOCATIONS, {"after": after, "limit": limit})
        return [_location_of(row) for row in rows]

    async def known_locations(self, codes: Sequence[str]) -> set[str]:
        """Return which of these exist."""
        rows = await self._session.execute(_KNOWN_LOCATIONS, {"names": list(codes)})
        return set(rows.scalars())

    async def _one(self, statement: Any, values: dict[str, Any]) -> Row | None:
        return (await self._session.execute(statement, values)).first()


def _sku_values(new: NewSku) -> dict[str, Any]:
    return {
        "sku": new.sku,
        "name": new.name,
        "category": new.category,
        "barcodes": list(new.barcodes),
        "attributes": json.dumps(dict(new.attributes)),
        "safety_stock": new.safety_stock,
        "reorder_point": new.reorder_point,
        "unit_cost": new.unit_cost,
        "backorder_limit": new.backorder_limit,
    }


def sku_of(row: Row) -> Sku:
    """Read the catalogue columns of a row."""
    return Sku(
        sku=row["sku"],
        name=row["name"],
        category=row["category"],
        barcodes=tuple(row["barcodes"]),
        attributes=row["attributes"],
        safety_stock=row["safety_stock"],
        reorder_point=row["reorder_point"],
        created_at=row["created_at"],
        unit_cost=row["unit_cost"],
        backorder_limit=row["backorder_limit"],
    )


def _location_of(row: Row) -> Location:
    return Location(row["code"], row["name"], LocationKind(row["kind"]), row["created_at"])
