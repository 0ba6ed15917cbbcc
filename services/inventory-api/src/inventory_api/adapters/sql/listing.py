"""Lists and search in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import text

from inventory_api.application.listing import Filter, LevelPage
from inventory_api.domain.sku import Sku, fold

from .catalogue import sku_of
from .database import Database
from .levels import level_of

SCANNED = 1_000
"""Rows that a page looks at: a filter that fits few rows makes a page short, never slow."""

_PAGE = """
    WITH seen AS MATERIALIZED (
        SELECT * FROM stock_levels l WHERE l.id > :after {location} ORDER BY l.id LIMIT :scanned
    ), shown AS (
        SELECT l.id AS level_id, s.sku, p.code, l.on_hand, n.reserved, l.incoming, l.version, l.updated_at,
               l.safety_stock AS level_safety, l.reorder_point AS level_reorder,
               l.backorder_limit AS level_backorder,
               greatest(0, l.on_hand - n.reserved - l.safety_stock) AS available
        FROM seen l
        JOIN skus s ON s.id = l.sku_id
        JOIN locations p ON p.id = l.location_id
        CROSS JOIN LATERAL (
            SELECT l.reserved - coalesce((
                SELECT sum(r.held) FROM reservation_lines r
                WHERE r.level_id = l.id AND r.held > 0 AND r.expires_at <= statement_timestamp()
            ), 0)::bigint AS reserved
        ) n
        WHERE (CAST(:category AS text) IS NULL OR s.category = :category)
          AND (CAST(:since AS timestamptz) IS NULL OR l.updated_at >= :since)
        ORDER BY l.id
    )
    SELECT d.*, e.last, e.number
    FROM (SELECT max(id) AS last, count(*) AS number FROM seen) e
    LEFT JOIN LATERAL (
        SELECT * FROM shown
        WHERE CAST(:status AS text) IS NULL
           OR :status = CASE WHEN available <= 0 THEN 'OUT' WHEN available <= level_reorder THEN 'LOW' ELSE 'IN' END
        ORDER BY level_id LIMIT :limit
    ) d ON true
    ORDER BY d.level_id
"""
_AT = "AND l.location_id = (SELECT id FROM locations WHERE code = :location)"
PAGE = text(_PAGE.format(location=""))
PAGE_AT = text(_PAGE.format(location=_AT))
SEARCH = text("""
    WITH exact AS (
        SELECT id, 0 AS grade FROM skus WHERE sku_fold = :fold OR barcodes @> ARRAY[CAST(:text AS text)]
    ), beginning AS (
        SELECT id, 1 AS grade FROM skus WHERE sku_fold >= :fold AND sku_fold < :fold || U&'\\+10FFFF'
        ORDER BY sku_fold LIMIT :limit
    ), worded AS (
        SELECT id, 2 AS grade FROM skus
        WHERE CAST(:query AS text) <> '' AND sku_words(sku, name, category) @@ to_tsquery('simple', :query)
        LIMIT :scanned
    ), best AS (
        SELECT id, min(grade) AS grade FROM (
            SELECT * FROM exact UNION ALL SELECT * FROM beginning UNION ALL SELECT * FROM worded
        ) found GROUP BY id
    )
    SELECT s.*, b.grade FROM best b JOIN skus s ON s.id = b.id
    ORDER BY b.grade,
             CASE WHEN :query <> '' THEN -ts_rank(sku_words(s.sku, s.name, s.category), to_tsquery('simple', :query)) END,
             s.sku
    LIMIT :limit
""")
_WORD = re.compile(r"\w+")


class SqlListing:
    """Lists over the readers' connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def levels(self, wanted: Filter, after_id: int, limit: int) -> LevelPage:
        """Return a page."""
        values = {
            "after": after_id,
            "scanned": SCANNED,
            "limit": limit,
            "category": wanted.category,
            "since": wanted.updated_since,
            "status": wanted.status.value if wanted.status else None,
        }
        statement = PAGE
        if wanted.location is not None:
            statement, values["location"] = PAGE_AT, wanted.location
        async with self._database.reading() as session:
            rows = (await session.execute(statement, values)).all()
        levels = tuple(level_of(row) for row in rows if row["level_id"] is not None)
        if len(levels) == limit:
            return LevelPage(levels, levels[-1].id)
        return LevelPage(levels, rows[0]["last"] if rows[0]["number"] == SCANNED else None)

    async def search(self, text_: str, limit: int) -> Sequence[Sku]:
        """Return what begins with the words."""
        words = _WORD.findall(text_.replace("_", " "))[:8]
        query = " & ".join(f"'{word}':*" for word in words)
        values = {"text": text_, "fold": fold(text_), "query": query, "limit": limit, "scanned": SCANNED}
        async with self._database.reading() as session:
            rows = await session.execute(SEARCH, values)
        return [sku_of(row) for row in rows]
