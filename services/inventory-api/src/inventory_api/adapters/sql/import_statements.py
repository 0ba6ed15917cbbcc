"""What an import does in PostgreSQL, set by set. Rows wait in a temporary table of the connection."""

from __future__ import annotations

STAGE = (
    """
    CREATE TEMPORARY TABLE staged (
        line bigint, sku text COLLATE "C", sku_fold text COLLATE "C", location text COLLATE "C", on_hand bigint,
        name text, category text, unit_cost numeric(14, 4), safety_stock bigint, reorder_point bigint
    )
    """,
    "CREATE TEMPORARY TABLE touched (line bigint)",
    """
    CREATE TEMPORARY TABLE compared (
        id bigint, line bigint, before bigint, after bigint, least bigint, safety_stock bigint,
        reorder_point bigint, counted boolean, tuned boolean
    )
    """,
)
COLUMNS = (
    "line",
    "sku",
    "sku_fold",
    "location",
    "on_hand",
    "name",
    "category",
    "unit_cost",
    "safety_stock",
    "reorder_point",
)

# Each finds rows that cannot be taken.
CHECKS = (
    """
    SELECT line, 'sku', 'repeated', 'line ' || first || ' is of the same SKU and location'
    FROM (
        SELECT line, min(line) OVER (PARTITION BY sku_fold, coalesce(location, '')) AS first FROM staged
    ) s WHERE line > first
    """,
    """
    SELECT d.line, 'sku', 'sku_exists', 'the SKU ' || coalesce(k.sku, d.first) || ' differs only in case'
    FROM (
        SELECT line, sku, sku_fold, first_value(sku) OVER (PARTITION BY sku_fold ORDER BY line) AS first FROM staged
    ) d LEFT JOIN skus k ON k.sku_fold = d.sku_fold
    WHERE coalesce(k.sku, d.first) <> d.sku
    """,
    """
    SELECT d.line, 'sku', 'sku_not_found', 'there is no SKU ' || d.sku || ', and no name to add it with'
    FROM staged d
    WHERE NOT EXISTS (SELECT FROM skus k WHERE k.sku_fold = d.sku_fold)
      AND NOT EXISTS (SELECT FROM staged n WHERE n.sku = d.sku AND n.name IS NOT NULL)
    """,
    """
    SELECT d.line, 'location', 'location_not_found', 'there is no location ' || d.location
    FROM staged d
    WHERE d.location IS NOT NULL AND NOT EXISTS (SELECT FROM locations p WHERE p.code = d.location)
    """,
)
PREPARE = (
    "CREATE INDEX ON staged (sku_fold)",
    "CREATE INDEX ON staged (sku)",
    "CREATE INDEX ON staged (line)",
    "ANALYZE staged",
)


def leave_out(check: str) -> str:
    """Return a statement that deletes the rows that a check finds, and tells the first hundred of them."""
    return f"""
        WITH bad (line, col, code, message) AS MATERIALIZED ({check}), gone AS (
            DELETE FROM staged s USING bad b WHERE s.line = b.line
        )
        SELECT line, col, code, message, count(*) OVER () AS number FROM bad ORDER BY line LIMIT 100
    """  # noqa: S608 - checks are constants of this file


ADD_SKUS = """
    WITH added AS (
        INSERT INTO skus (sku, sku_fold, name, category, unit_cost, safety_stock, reorder_point)
        SELECT DISTINCT ON (sku) sku, sku_fold, name, category, unit_cost, coalesce(safety_stock, 0),
               coalesce(reorder_point, 0)
        FROM staged d
        WHERE name IS NOT NULL AND line BETWEEN $1 AND $2
          AND NOT EXISTS (SELECT FROM skus k WHERE k.sku_fold = d.sku_fold)
        ORDER BY sku, line
        ON CONFLICT DO NOTHING
        RETURNING sku
    )
    INSERT INTO touched
    SELECT d.line FROM staged d JOIN added USING (sku) WHERE d.line BETWEEN $1 AND $2
"""
CHANGE_SKUS = """
    WITH wanted AS (
        SELECT DISTINCT ON (sku) sku, line, name, category, unit_cost FROM staged
        WHERE line BETWEEN $1 AND $2 AND (name IS NOT NULL OR category IS NOT NULL OR unit_cost IS NOT NULL)
        ORDER BY sku, line DESC
    ), changed AS (
        UPDATE skus k SET name = coalesce(w.name, k.name), category = coalesce(w.category, k.category),
                          unit_cost = coalesce(w.unit_cost, k.unit_cost)
        FROM wanted w
        WHERE k.sku = w.sku
          AND (coalesce(w.name, k.name), coalesce(w.category, k.category), coalesce(w.unit_cost, k.unit_cost))
              IS DISTINCT FROM (k.name, k.category, k.unit_cost)
        RETURNING w.line
    )
    INSERT INTO touched SELECT line FROM changed
"""
OPEN = """
    WITH opened AS (
        INSERT INTO stock_levels (sku_id, location_id, on_hand, safety_stock, reorder_point, backorder_limit,
                                  ledger_sequence)
        SELECT k.id, p.id, coalesce(d.on_hand, 0), coalesce(d.safety_stock, k.safety_stock),
               coalesce(d.reorder_point, k.reorder_point), k.backorder_limit, (coalesce(d.on_hand, 0) > 0)::int
        FROM staged d JOIN skus k ON k.sku = d.sku JOIN locations p ON p.code = d.location
        WHERE d.line BETWEEN $1 AND $2
        ORDER BY k.id, p.id
        ON CONFLICT DO NOTHING
        RETURNING id, sku_id, location_id, on_hand
    ), written AS (
        INSERT INTO ledger (level_id, sequence, delta, before, after, reason, reference, actor, occurred_at)
        SELECT id, 1, on_hand, 0, on_hand, 'CORRECTION', $3, $4, clock_timestamp() FROM opened WHERE on_hand > 0
    )
    INSERT INTO touched
    SELECT d.line FROM opened o
    JOIN skus k ON k.id = o.sku_id
    JOIN locations p ON p.id = o.location_id
    JOIN staged d ON d.sku = k.sku AND d.location = p.code
    WHERE d.line BETWEEN $1 AND $2
"""
_LEVELS = """
    FROM staged d
    JOIN skus k ON k.sku = d.sku
    JOIN locations p ON p.code = d.location
    JOIN stock_levels l ON l.sku_id = k.id AND l.location_id = p.id
"""
LOCK = f"""
    WITH rows AS (
        SELECT l.id FROM stock_levels l
        WHERE l.id IN (SELECT l.id {_LEVELS} WHERE d.line BETWEEN $1 AND $2)
        ORDER BY l.id FOR NO KEY UPDATE
    )
    SELECT count(*) FROM rows
"""  # noqa: S608 - a constant of this file
EXPIRE_DUE = f"""
    WITH due AS (
        SELECT r.reservation_id, r.level_id, r.held FROM reservation_lines r
        WHERE r.held > 0 AND r.expires_at <= statement_timestamp()
          AND r.level_id IN (SELECT l.id {_LEVELS} WHERE d.line BETWEEN $1 AND $2)
    ), gone AS (
        UPDATE reservation_lines r SET held = 0, expired = r.expired + due.held FROM due
        WHERE r.reservation_id = due.reservation_id AND r.level_id = due.level_id
        RETURNING r.level_id, due.held
    ), sums AS (
        SELECT level_id, sum(held)::bigint AS held FROM gone GROUP BY level_id
    )
    UPDATE stock_levels l
    SET reserved = l.reserved - sums.held, version = l.version + 1, updated_at = clock_timestamp()
    FROM sums WHERE l.id = sums.level_id
"""  # noqa: S608 - a constant of this file
COMPARE = f"""
    INSERT INTO compared
    SELECT l.id, d.line, l.on_hand, coalesce(d.on_hand, l.on_hand), greatest(0, l.reserved - l.backorder_limit),
           coalesce(d.safety_stock, l.safety_stock), coalesce(d.reorder_point, l.reorder_point),
           coalesce(d.on_hand, l.on_hand) <> l.on_hand,
           (coalesce(d.safety_stock, l.safety_stock), coalesce(d.reorder_point, l.reorder_point))
               IS DISTINCT FROM (l.safety_stock, l.reorder_point)
    {_LEVELS}
    WHERE d.line BETWEEN $1 AND $2
"""  # noqa: S608 - a constant of this file
LEAVE_OUT_SHORT = """
    WITH bad AS (
        DELETE FROM compared WHERE after < least RETURNING line, after, least
    )
    SELECT line, 'on_hand' AS col, 'insufficient_stock' AS code,
           after || ' is less than the ' || least || ' that are held for customers' AS message,
           count(*) OVER () AS number
    FROM bad ORDER BY line LIMIT 100
"""
WRITE = """
    WITH changed AS (
        UPDATE stock_levels l
        SET on_hand = c.after, safety_stock = c.safety_stock, reorder_point = c.reorder_point,
            ledger_sequence = l.ledger_sequence + c.counted::int, version = l.version + 1,
            updated_at = clock_timestamp()
        FROM compared c
        WHERE l.id = c.id AND (c.counted OR c.tuned)
        RETURNING l.id, l.ledger_sequence, c.line, c.before, c.after, c.counted
    ), written AS (
        INSERT INTO ledger (level_id, sequence, delta, before, after, reason, reference, actor, occurred_at)
        SELECT id, ledger_sequence, after - before, before, after, 'CORRECTION', $1, $2, clock_timestamp()
        FROM changed WHERE counted
    )
    INSERT INTO touched SELECT line FROM changed
"""
COUNT_CHANGED = "SELECT count(DISTINCT line) FROM touched"
