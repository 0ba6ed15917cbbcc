"""Sums over the stock and its ledger in PostgreSQL, on connections of the office."""

from __future__ import annotations

from collections.abc import Sequence

from inventory_api.application.insight import Figures, LowLine, Recommendation, Row

from .office import Office

DEADLINE_S = 20.0

_VALUATION = """
    SELECT coalesce({key}, '') AS key, sum(l.on_hand)::bigint AS units,
           coalesce(sum(l.on_hand * s.unit_cost), 0)::numeric(30, 4) AS value,
           coalesce(sum(l.on_hand) FILTER (WHERE s.unit_cost IS NULL), 0)::bigint AS units_without_cost
    FROM stock_levels l JOIN skus s ON s.id = l.sku_id JOIN locations p ON p.id = l.location_id
    WHERE $1::int >= 0
    GROUP BY 1 ORDER BY value DESC, key LIMIT $2
"""
REPORTS = {
    ("valuation", "location"): _VALUATION.format(key="p.code"),
    ("valuation", "category"): _VALUATION.format(key="s.category"),
    # Mean of the stock at both ends of the period: the textbook's turnover ratio.
    ("turnover", "sku"): """
        WITH moved AS (
            SELECT level_id, sum(delta) AS net, -coalesce(sum(delta) FILTER (WHERE reason = 'SALE'), 0) AS sold
            FROM ledger WHERE recorded_at >= now() - make_interval(days => $1) GROUP BY level_id
        ), whole AS (
            SELECT s.sku AS key, coalesce(sum(m.sold), 0)::bigint AS sold,
                   sum(2 * l.on_hand - coalesce(m.net, 0)) / 2.0 AS mean
            FROM stock_levels l JOIN skus s ON s.id = l.sku_id LEFT JOIN moved m ON m.level_id = l.id
            WHERE l.sku_id IN (SELECT n.sku_id FROM moved o JOIN stock_levels n ON n.id = o.level_id)
            GROUP BY s.sku
        )
        SELECT key, sold, round(mean, 2)::float8 AS average_stock,
               CASE WHEN mean > 0 THEN round(sold / mean, 3)::float8 END AS turnover
        FROM whole WHERE sold > 0 ORDER BY sold DESC, key LIMIT $2
    """,
    # First in, first out: what is on hand came with the newest additions.
    ("ageing", "age"): """
        WITH added AS (
            SELECT g.level_id, g.recorded_at, g.delta, l.on_hand,
                   sum(g.delta) OVER (PARTITION BY g.level_id ORDER BY g.sequence DESC) AS newer
            FROM ledger g JOIN stock_levels l ON l.id = g.level_id WHERE g.delta > 0 AND l.on_hand > 0
        ), left_over AS (
            SELECT greatest(0, least(delta, on_hand - (newer - delta))) AS units, now() - recorded_at AS age
            FROM added WHERE newer - delta < on_hand
        )
        SELECT CASE WHEN age < interval '31 days' THEN '0-30 days' WHEN age < interval '91 days' THEN '31-90 days'
                    WHEN age < interval '181 days' THEN '91-180 days' ELSE 'over 180 days' END AS key,
               sum(units)::bigint AS units
        FROM left_over WHERE $1::int >= 0 GROUP BY 1 ORDER BY min(age) LIMIT $2
    """,
    ("stockouts", "level"): """
        WITH spans AS (
            SELECT level_id, after, recorded_at,
                   lead(recorded_at, 1, now()) OVER (PARTITION BY level_id ORDER BY sequence) AS until,
                   lead(after) OVER (PARTITION BY level_id ORDER BY sequence) IS NULL AS last
            FROM ledger
        )
        SELECT s.sku AS key, p.code AS location, count(*)::bigint AS times,
               round(sum(extract(epoch FROM until - greatest(recorded_at, now() - make_interval(days => $1))))
                     / 3600, 2)::float8 AS hours_out,
               bool_or(o.last) AS out_now
        FROM spans o JOIN stock_levels l ON l.id = o.level_id JOIN skus s ON s.id = l.sku_id
        JOIN locations p ON p.id = l.location_id
        WHERE o.after = 0 AND o.until >= now() - make_interval(days => $1)
        GROUP BY 1, 2 ORDER BY hours_out DESC, key, location LIMIT $2
    """,
}
_FIGURES = """
    SELECT (SELECT count(*) FROM skus) AS skus, count(*) AS levels, coalesce(sum(on_hand), 0)::bigint AS on_hand,
           coalesce(sum(reserved), 0)::bigint AS reserved,
           count(*) FILTER (WHERE on_hand - reserved - l.safety_stock BETWEEN 1 AND l.reorder_point) AS low,
           count(*) FILTER (WHERE on_hand - reserved - l.safety_stock <= 0) AS out,
           coalesce(sum(on_hand * unit_cost), 0)::numeric(30, 4) AS value,
           (SELECT coalesce(-sum(delta), 0)::bigint FROM ledger
            WHERE reason = 'SALE' AND recorded_at >= now() - interval '7 days') AS sold_7_days,
           (SELECT count(DISTINCT reservation_id) FROM reservation_lines
            WHERE held > 0 AND expires_at > now()) AS active_reservations,
           clock_timestamp() AS as_of
    FROM stock_levels l JOIN skus s ON s.id = l.sku_id
"""
_SOLD = """
    WITH chosen AS (SELECT id FROM skus WHERE sku = $1)
    SELECT d.day::date, coalesce(x.sold, 0)::bigint AS sold
    FROM chosen CROSS JOIN generate_series(current_date - $2::int, current_date - 1, interval '1 day') d (day)
    LEFT JOIN (
        SELECT g.occurred_at::date AS day, -sum(g.delta) AS sold
        FROM stock_levels l JOIN ledger g ON g.level_id = l.id
        WHERE l.sku_id = (SELECT id FROM chosen) AND g.reason = 'SALE' AND g.occurred_at >= current_date - $2::int
        GROUP BY 1
    ) x ON x.day = d.day::date
    ORDER BY 1
"""
_LOW = """
    SELECT s.sku, p.code AS location, l.on_hand - l.reserved - l.safety_stock + l.incoming AS position,
           l.safety_stock, l.reorder_point, s.unit_cost,
           (SELECT coalesce(-sum(delta), 0)::bigint FROM ledger g
            WHERE g.level_id = l.id AND g.reason = 'SALE' AND g.recorded_at >= now() - interval '28 days') AS sold
    FROM low_stock w JOIN stock_levels l ON l.id = w.level_id
    JOIN skus s ON s.id = l.sku_id JOIN locations p ON p.id = l.location_id
    WHERE l.on_hand - l.reserved - l.safety_stock + l.incoming <= l.reorder_point
    ORDER BY w.since, l.id LIMIT $1
"""
_KNOWN = "SELECT 1 FROM skus WHERE sku = $1"
_TOGETHER = """
    WITH chosen AS (SELECT id, category FROM skus WHERE sku = $1), baskets AS (
        SELECT DISTINCT g.reservation_id FROM (
            SELECT g.reservation_id FROM stock_levels l JOIN ledger g ON g.level_id = l.id
            WHERE l.sku_id = (SELECT id FROM chosen) AND g.reason = 'SALE' AND g.reservation_id IS NOT NULL
            ORDER BY g.id DESC LIMIT 2000
        ) g
    ), counted AS (
        SELECT l.sku_id, count(DISTINCT n.reservation_id)::bigint AS together
        FROM baskets b JOIN reservation_lines n USING (reservation_id) JOIN stock_levels l ON l.id = n.level_id
        WHERE n.confirmed > 0 AND l.sku_id <> (SELECT id FROM chosen)
        GROUP BY 1
    ), alike AS (
        SELECT id AS sku_id, 0::bigint AS together FROM skus
        WHERE category = (SELECT category FROM chosen) AND id <> (SELECT id FROM chosen) LIMIT 200
    )
    SELECT s.sku, s.name, max(x.together) AS together
    FROM (SELECT * FROM counted UNION ALL SELECT * FROM alike) x JOIN skus s ON s.id = x.sku_id
    GROUP BY s.sku, s.name ORDER BY together DESC, s.sku LIMIT $2
"""


class SqlBooks:
    """Sums over connections of the office."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def report(self, name: str, days: int, by: str, limit: int) -> Sequence[Row]:
        """Return a report's rows."""
        async with self._office.connection(DEADLINE_S) as connection:
            return [dict(row) for row in await connection.fetch(REPORTS[name, by], days, limit)]

    async def figures(self) -> Figures:
        """Return the dashboard's numbers."""
        async with self._office.connection(DEADLINE_S) as connection:
            row = await connection.fetchrow(_FIGURES)
        assert row is not None  # noqa: S101 - an aggregate has one row
        return Figures(**row)

    async def sold(self, sku: str, days: int) -> list[int] | None:
        """Return units sold by day."""
        async with self._office.connection(DEADLINE_S) as connection:
            rows = await connection.fetch(_SOLD, sku, days)
        return [max(0, row["sold"]) for row in rows] or None

    async def low(self, limit: int) -> list[LowLine]:
        """Return levels that are low, longest first."""
        async with self._office.connection(DEADLINE_S) as connection:
            return [LowLine(**row) for row in await connection.fetch(_LOW, limit)]

    async def together(self, sku: str, limit: int) -> list[Recommendation] | None:
        """Return what goes with a SKU."""
        async with self._office.connection(DEADLINE_S) as connection:
            if not await connection.fetchval(_KNOWN, sku):
                return None
            return [Recommendation(**row) for row in await connection.fetch(_TOGETHER, sku, limit)]
