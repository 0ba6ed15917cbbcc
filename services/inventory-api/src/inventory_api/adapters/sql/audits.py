"""The invariants as queries: each counts what contradicts one of them, in one snapshot, so that 0 is right at any time.

The names carry the number of the invariant in docs/guide/inventory-writes.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

AUDITS: Mapping[str, str] = MappingProxyType(
    {
        "01_on_hand_is_the_sum_of_the_ledger": """
            SELECT count(*) FROM stock_levels l
            LEFT JOIN (
                SELECT level_id, sum(delta) AS total, count(*) AS rows, max(sequence) AS last FROM ledger
                GROUP BY level_id
            ) e ON e.level_id = l.id
            WHERE l.on_hand <> COALESCE(e.total, 0)
               OR l.ledger_sequence <> COALESCE(e.rows, 0) OR l.ledger_sequence <> COALESCE(e.last, 0)
        """,
        "02_reserved_is_the_sum_of_what_is_held": """
            SELECT count(*) FROM stock_levels l
            LEFT JOIN (
                SELECT level_id, sum(held) AS total FROM reservation_lines WHERE held > 0 GROUP BY level_id
            ) r ON r.level_id = l.id
            WHERE l.reserved <> COALESCE(r.total, 0)
        """,
        "03_nothing_is_oversold": """
            SELECT count(*) FROM stock_levels
            WHERE reserved < 0 OR on_hand < 0 OR on_hand + backorder_limit < reserved
        """,
        "04_what_is_confirmed_is_sold_once": """
            SELECT count(*) FROM (
                SELECT n.reservation_id, n.level_id, n.confirmed + COALESCE(sum(e.delta), 0) AS left_over
                FROM reservation_lines n
                LEFT JOIN ledger e ON e.reservation_id = n.reservation_id AND e.level_id = n.level_id
                    AND e.reason = 'SALE'
                WHERE n.confirmed > 0 OR e.id IS NOT NULL
                GROUP BY n.reservation_id, n.level_id, n.confirmed
            ) sold WHERE left_over <> 0
        """,
        "05_a_key_is_answered_once": """
            SELECT count(*) FROM (
                SELECT 1 FROM ledger e JOIN operations o ON o.command_id = e.command_id
                GROUP BY e.command_id, o.state HAVING count(*) > 1 OR o.state <> 'applied'
            ) doubled
        """,
        "06_final_states_hold_nothing": """
            SELECT count(*) FROM reservations r JOIN reservation_lines n ON n.reservation_id = r.id
            WHERE (r.state IN ('CONFIRMED', 'RELEASED', 'EXPIRED') AND n.held > 0)
               OR n.held + n.confirmed + n.released + n.expired <> n.quantity
        """,
        "07_nothing_is_sold_after_its_time": """
            SELECT count(*) FROM ledger e JOIN reservations r ON r.id = e.reservation_id
            WHERE e.reason = 'SALE' AND e.occurred_at > r.expires_at
        """,
        "08_transfers_conserve_stock": """
            SELECT (
                SELECT count(*) FROM (
                    SELECT n.transfer_id, n.sku_id,
                           n.shipped - n.received - n.returned - n.lost AS in_transit,
                           COALESCE((
                               SELECT sum(e.delta) FROM ledger e JOIN stock_levels l ON l.id = e.level_id
                               WHERE e.transfer_id = n.transfer_id AND l.sku_id = n.sku_id
                                 AND e.reason IN ('TRANSFER_OUT', 'TRANSFER_IN')
                           ), 0) AS moved
                    FROM transfer_lines n
                ) t WHERE in_transit + moved <> 0
            ) + (
                SELECT count(*) FROM stock_levels l
                LEFT JOIN (
                    SELECT t.destination_id, n.sku_id,
                           sum(n.shipped - n.received - n.returned - n.lost) AS in_transit
                    FROM transfers t JOIN transfer_lines n ON n.transfer_id = t.id
                    WHERE t.state = 'SHIPPED' GROUP BY t.destination_id, n.sku_id
                ) i ON i.destination_id = l.location_id AND i.sku_id = l.sku_id
                WHERE l.incoming <> COALESCE(i.in_transit, 0)
            )
        """,
        "09_returns_restore_what_was_sold_at_most": """
            SELECT count(*) FROM (
                SELECT 1 FROM ledger WHERE reason IN ('SALE', 'RETURN')
                GROUP BY level_id, reservation_id, reference
                HAVING bool_or(reason = 'RETURN') AND sum(delta) > 0
            ) returned
        """,
        "10_batches_are_whole": """
            SELECT count(*) FROM batches b
            LEFT JOIN (
                SELECT batch_id, count(*) AS rows FROM ledger WHERE batch_id IS NOT NULL GROUP BY batch_id
            ) e ON e.batch_id = b.id
            WHERE b.done <> COALESCE(e.rows, 0) OR (b.atomic AND b.done <> b.asked)
        """,
        "11_no_deadlocks": """
            SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()
        """,
        "12_the_ledger_is_in_order": """
            SELECT count(*) FROM (
                SELECT id < lag(id) OVER (PARTITION BY level_id ORDER BY sequence) AS behind FROM ledger
            ) e WHERE behind
        """,
        "13_what_was_accepted_is_applied": """
            SELECT count(*) FROM operations o
            WHERE o.state = 'applied' AND NOT EXISTS (
                SELECT FROM answers a WHERE a.key = o.command ->> 'idempotency_key'
                  AND a.caller = o.command ->> 'actor' AND a.request_sha256 = o.command ->> 'request_sha256'
                  AND a.status < 400
            ) AND o.finished_at > clock_timestamp() - interval '47 hours'
        """,
    }
)
"""Violations by name. Answers are forgotten after 48 hours, which the last one allows for."""
