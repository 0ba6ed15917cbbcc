"""Transfers, returns and batches; the outbox and the list of low levels, both kept by triggers.

Triggers, because nothing that changes a level or writes the ledger may forget them: an import as little as a repair
by hand.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UP = (
    """
    CREATE TABLE transfers (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        source_id bigint NOT NULL REFERENCES locations,
        destination_id bigint NOT NULL REFERENCES locations,
        state text NOT NULL CHECK (state IN ('DRAFT', 'SHIPPED', 'RECEIVED', 'CANCELLED')),
        reference text,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT transfers_go_somewhere CHECK (source_id <> destination_id)
    )
    """,
    """
    CREATE TABLE transfer_lines (
        transfer_id uuid NOT NULL REFERENCES transfers,
        sku_id bigint NOT NULL REFERENCES skus,
        quantity bigint NOT NULL CHECK (quantity BETWEEN 1 AND 1000000000000),
        shipped bigint NOT NULL DEFAULT 0,
        received bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
        returned bigint NOT NULL DEFAULT 0 CHECK (returned >= 0),
        lost bigint NOT NULL DEFAULT 0 CHECK (lost >= 0),
        PRIMARY KEY (transfer_id, sku_id),
        CONSTRAINT transfer_lines_ship_whole CHECK (shipped IN (0, quantity)),
        CONSTRAINT transfer_lines_conserve CHECK (received + returned + lost <= shipped)
    )
    """,
    "CREATE TABLE batches (id uuid PRIMARY KEY, atomic boolean NOT NULL, asked integer NOT NULL, done integer NOT NULL)",
    "ALTER TABLE ledger ADD COLUMN transfer_id uuid REFERENCES transfers, ADD COLUMN batch_id uuid",
    "CREATE INDEX ledger_level ON ledger (level_id, id)",
    "CREATE INDEX ledger_level_reference ON ledger (level_id, reference) WHERE reason IN ('SALE', 'RETURN')",
    """
    CREATE TABLE low_stock (
        level_id bigint PRIMARY KEY REFERENCES stock_levels,
        since timestamptz NOT NULL
    )
    """,
    """
    INSERT INTO low_stock SELECT id, clock_timestamp() FROM stock_levels
    WHERE on_hand - reserved - safety_stock <= reorder_point
    """,
    """
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text NOT NULL CHECK (kind IN ('changed', 'low', 'back', 'recorded')),
        level_id bigint NOT NULL,
        ledger_id bigint,
        available bigint,
        reorder_point bigint,
        version bigint,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
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
DOWN = (
    "DROP TRIGGER note_ledger ON ledger",
    "DROP TRIGGER note_level ON stock_levels",
    "DROP FUNCTION note_ledger, note_level",
    "DROP TABLE outbox, low_stock",
    "DROP INDEX ledger_level_reference, ledger_level",
    "ALTER TABLE ledger DROP COLUMN batch_id, DROP COLUMN transfer_id",
    "DROP TABLE batches, transfer_lines, transfers",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
