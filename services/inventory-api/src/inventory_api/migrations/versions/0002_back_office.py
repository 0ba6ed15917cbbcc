"""Unit cost, imports, exports, and what lists and search stand on."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# No index on counters: an update of a counter touches no index then (HOT), which is what holds live on.
UP = """
ALTER TABLE skus ADD COLUMN unit_cost numeric(14, 4) CHECK (unit_cost >= 0);

CREATE FUNCTION sku_words(sku text, name text, category text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector('simple', translate(concat_ws(' ', sku, name, category), '-_./', '    '));
CREATE INDEX skus_words ON skus USING gin (sku_words(sku, name, category));
CREATE INDEX skus_barcodes ON skus USING gin (barcodes);
CREATE INDEX stock_levels_location ON stock_levels (location_id, id);
CREATE INDEX ledger_recorded_at ON ledger USING brin (recorded_at);

CREATE TABLE imports (
    id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('running', 'applied', 'checked', 'refused')),
    mode text NOT NULL,
    dry_run boolean NOT NULL,
    actor text NOT NULL,
    key text,
    sha256 text NOT NULL,
    rows bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    errors jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    CONSTRAINT imports_key UNIQUE (actor, key)
);

CREATE TABLE exports (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done')),
    actor text NOT NULL,
    key text,
    location text,
    rows bigint,
    bytes bigint,
    detail text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    CONSTRAINT exports_key UNIQUE (actor, key)
);
CREATE INDEX exports_waiting ON exports (created_at) WHERE state = 'waiting';
"""


def upgrade() -> None:
    for statement in UP.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE exports, imports")
    op.execute("DROP INDEX ledger_recorded_at, stock_levels_location, skus_barcodes, skus_words")
    op.execute("DROP FUNCTION sku_words")
    op.execute("ALTER TABLE skus DROP COLUMN unit_cost")
