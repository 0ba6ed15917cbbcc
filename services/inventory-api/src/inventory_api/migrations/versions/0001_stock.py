"""SKUs, locations, stock, reservations, ledger, answers to repeated requests, operations."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE skus (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku text COLLATE "C" NOT NULL CONSTRAINT skus_sku_key UNIQUE,
    sku_fold text COLLATE "C" NOT NULL CONSTRAINT skus_fold_key UNIQUE,
    name text NOT NULL,
    category text,
    barcodes text[] NOT NULL DEFAULT '{}',
    attributes jsonb NOT NULL DEFAULT '{}',
    safety_stock bigint NOT NULL CHECK (safety_stock >= 0),
    reorder_point bigint NOT NULL CHECK (reorder_point >= 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE locations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text COLLATE "C" NOT NULL CONSTRAINT locations_code_key UNIQUE,
    code_fold text COLLATE "C" NOT NULL CONSTRAINT locations_fold_key UNIQUE,
    name text NOT NULL,
    kind text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE stock_levels (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku_id bigint NOT NULL REFERENCES skus,
    location_id bigint NOT NULL REFERENCES locations,
    on_hand bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    incoming bigint NOT NULL DEFAULT 0 CHECK (incoming >= 0),
    safety_stock bigint NOT NULL CHECK (safety_stock >= 0),
    reorder_point bigint NOT NULL CHECK (reorder_point >= 0),
    version bigint NOT NULL DEFAULT 1,
    ledger_sequence bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT stock_levels_place_key UNIQUE (sku_id, location_id),
    CONSTRAINT stock_levels_never_oversold CHECK (reserved >= 0 AND on_hand >= reserved),
    CONSTRAINT stock_levels_countable CHECK (on_hand <= 9007199254740991)
) WITH (fillfactor = 80);

CREATE TABLE reservations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner_ref text NOT NULL,
    state text NOT NULL CHECK (state IN ('ACTIVE', 'PARTIAL', 'CONFIRMED', 'RELEASED', 'EXPIRED')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);

-- A line is guarded by the lock on its stock level: expiry may take it without its reservation's lock.
CREATE TABLE reservation_lines (
    reservation_id uuid NOT NULL REFERENCES reservations,
    level_id bigint NOT NULL REFERENCES stock_levels,
    quantity bigint NOT NULL CHECK (quantity BETWEEN 1 AND 1000000000000),
    held bigint NOT NULL CHECK (held >= 0),
    confirmed bigint NOT NULL DEFAULT 0 CHECK (confirmed >= 0),
    released bigint NOT NULL DEFAULT 0 CHECK (released >= 0),
    expired bigint NOT NULL DEFAULT 0 CHECK (expired >= 0),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (reservation_id, level_id),
    CONSTRAINT reservation_lines_add_up CHECK (held + confirmed + released + expired = quantity)
) WITH (fillfactor = 80);
CREATE INDEX reservation_lines_held ON reservation_lines (level_id, expires_at) WHERE held > 0;
CREATE INDEX reservation_lines_due ON reservation_lines (expires_at) WHERE held > 0;

CREATE TABLE ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    level_id bigint NOT NULL REFERENCES stock_levels,
    sequence bigint NOT NULL CHECK (sequence >= 1),
    delta bigint NOT NULL CHECK (delta <> 0),
    before bigint NOT NULL CHECK (before >= 0),
    after bigint NOT NULL CHECK (after >= 0),
    reason text NOT NULL,
    reference text,
    actor text NOT NULL,
    reservation_id uuid REFERENCES reservations,
    command_id text UNIQUE,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT ledger_sequence_key UNIQUE (level_id, sequence),
    CONSTRAINT ledger_adds_up CHECK (after = before + delta)
);

CREATE TABLE answers (
    caller text NOT NULL,
    key text NOT NULL,
    request_sha256 text NOT NULL,
    status smallint NOT NULL CHECK (status BETWEEN 200 AND 499),
    headers jsonb NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (caller, key)
);
CREATE INDEX answers_created_at ON answers (created_at);

CREATE TABLE operations (
    command_id text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('applied', 'exception')),
    code text,
    detail text,
    command jsonb NOT NULL,
    accepted_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX operations_exceptions ON operations (finished_at) WHERE state = 'exception';

CREATE TABLE command_offsets (
    partition integer PRIMARY KEY,
    next_offset bigint NOT NULL CHECK (next_offset >= 0)
);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute(
        "DROP TABLE command_offsets, operations, answers, ledger, reservation_lines, reservations, "
        "stock_levels, locations, skus"
    )
