"""Tables in Markdown, as `docs/scale.md` has them."""

from __future__ import annotations

from collections.abc import Iterable


def row_of(figures: Iterable[float]) -> str:
    """Write a row: whole numbers whole, others with two decimals."""
    told = (f"{figure:,}" if isinstance(figure, int) else f"{figure:.2f}" for figure in figures)
    return f"| {' | '.join(told)} |"
