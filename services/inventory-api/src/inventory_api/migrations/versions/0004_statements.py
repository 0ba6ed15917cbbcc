"""The outbox and the list of low levels, kept by triggers of statements instead of rows.

An import changes a hundred thousand levels in one statement: a call for each of them took most of its time.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DROP_OF_ROWS = (
    "DROP TRIGGER note_ledger ON ledger",
    "DROP TRIGGER note_level ON stock_levels",
    "DROP FUNCTION note_ledger, note_level",
)
OF_STATEMENTS = (
    """
    CREATE FUNCTION note_opened() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO low_stock
        SELECT id, clock_timestamp() FROM fresh WHERE on_hand - reserved - safety_stock <= reorder_point
        ON CONFLICT DO NOTHING;
        INSERT INTO outbox (kind, level_id, available, reorder_point, version)
        SELECT CASE WHEN on_hand - reserved - safety_stock > 0 THEN 'back' ELSE 'changed' END, id,
               greatest(on_hand - reserved - safety_stock, 0), reorder_point, version
        FROM fresh ORDER BY id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION note_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (
            SELECT FROM fresh n JOIN former o USING (id)
            WHERE (n.on_hand - n.reserved - n.safety_stock <= n.reorder_point)
               <> (o.on_hand - o.reserved - o.safety_stock <= o.reorder_point)
        ) THEN
            INSERT INTO low_stock
            SELECT id, clock_timestamp() FROM fresh n JOIN former o USING (id)
            WHERE n.on_hand - n.reserved - n.safety_stock <= n.reorder_point
              AND o.on_hand - o.reserved - o.safety_stock > o.reorder_point
            ON CONFLICT DO NOTHING;
            DELETE FROM low_stock w USING fresh n JOIN former o USING (id)
            WHERE w.level_id = n.id
              AND n.on_hand - n.reserved - n.safety_stock > n.reorder_point
              AND o.on_hand - o.reserved - o.safety_stock <= o.reorder_point;
        END IF;
        INSERT INTO outbox (kind, level_id, available, reorder_point, version)
        SELECT CASE
                   WHEN o.on_hand - o.reserved - o.safety_stock <= 0
                    AND n.on_hand - n.reserved - n.safety_stock > 0 THEN 'back'
                   WHEN o.on_hand - o.reserved - o.safety_stock > o.reorder_point
                    AND n.on_hand - n.reserved - n.safety_stock <= n.reorder_point THEN 'low'
                   ELSE 'changed'
               END,
               id, greatest(n.on_hand - n.reserved - n.safety_stock, 0), n.reorder_point, n.version
        FROM fresh n JOIN former o USING (id) ORDER BY id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION note_recorded() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO outbox (kind, level_id, ledger_id) SELECT 'recorded', level_id, id FROM fresh ORDER BY id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER note_opened AFTER INSERT ON stock_levels
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION note_opened()
    """,
    """
    CREATE TRIGGER note_changed AFTER UPDATE ON stock_levels
    REFERENCING NEW TABLE AS fresh OLD TABLE AS former FOR EACH STATEMENT EXECUTE FUNCTION note_changed()
    """,
    """
    CREATE TRIGGER note_recorded AFTER INSERT ON ledger
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION note_recorded()
    """,
)
DROP_OF_STATEMENTS = (
    "DROP TRIGGER note_recorded ON ledger",
    "DROP TRIGGER note_changed ON stock_levels",
    "DROP TRIGGER note_opened ON stock_levels",
    "DROP FUNCTION note_recorded, note_changed, note_opened",
)
OF_ROWS = (
    """
    CREATE FUNCTION note_level() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        free bigint = NEW.on_hand - NEW.reserved - NEW.safety_stock;
        was_free bigint = 0;
        was_low boolean = false;
        edge text = 'changed';
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            was_free = OLD.on_hand - OLD.reserved - OLD.safety_stock;
            was_low = was_free <= OLD.reorder_point;
        END IF;
        IF free <= NEW.reorder_point AND NOT was_low THEN
            INSERT INTO low_stock VALUES (NEW.id, clock_timestamp()) ON CONFLICT DO NOTHING;
            edge = CASE TG_OP WHEN 'UPDATE' THEN 'low' ELSE edge END;
        ELSIF was_low AND free > NEW.reorder_point THEN
            DELETE FROM low_stock WHERE level_id = NEW.id;
        END IF;
        IF was_free <= 0 AND free > 0 THEN
            edge = 'back';
        END IF;
        INSERT INTO outbox (kind, level_id, available, reorder_point, version)
        VALUES (edge, NEW.id, greatest(free, 0), NEW.reorder_point, NEW.version);
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER note_level AFTER INSERT OR UPDATE ON stock_levels FOR EACH ROW EXECUTE FUNCTION note_level()
    """,
    """
    CREATE FUNCTION note_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO outbox (kind, level_id, ledger_id) VALUES ('recorded', NEW.level_id, NEW.id);
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER note_ledger AFTER INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION note_ledger()",
)


def upgrade() -> None:
    for statement in DROP_OF_ROWS + OF_STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for statement in DROP_OF_STATEMENTS + OF_ROWS:
        op.execute(statement)
