"""Backorders: how many of a SKU may be held beyond what is available, at each location.

The limit is of the level too, as the thresholds are, so that the guarded update that holds stock sees it without another
row. The way down refuses while more is held than is on hand: nobody could keep that promise any longer.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UP = (
    "ALTER TABLE skus ADD COLUMN backorder_limit bigint NOT NULL DEFAULT 0 CHECK (backorder_limit >= 0)",
    """
    ALTER TABLE stock_levels
        ADD COLUMN backorder_limit bigint NOT NULL DEFAULT 0 CHECK (backorder_limit >= 0),
        DROP CONSTRAINT stock_levels_never_oversold,
        ADD CONSTRAINT stock_levels_never_oversold
            CHECK (reserved >= 0 AND on_hand >= 0 AND on_hand + backorder_limit >= reserved)
    """,
)
DOWN = (
    """
    ALTER TABLE stock_levels
        DROP CONSTRAINT stock_levels_never_oversold,
        ADD CONSTRAINT stock_levels_never_oversold CHECK (reserved >= 0 AND on_hand >= reserved),
        DROP COLUMN backorder_limit
    """,
    "ALTER TABLE skus DROP COLUMN backorder_limit",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
