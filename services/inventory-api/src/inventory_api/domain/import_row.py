"""A row of an import: what a shop's spreadsheet says of a SKU, and of its stock at a location."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .errors import InvalidSkuError, InventoryError
from .sku import check_location, check_sku, fold
from .spreadsheet import restore
from .stock import QUANTITY_MAX

TEXT_MOST = 200
SHOWN = ("reserved", "available", "incoming")
"""Columns of an export that an import leaves alone."""
COLUMNS = (
    "sku",
    "location",
    "on_hand",
    "name",
    "category",
    "unit_cost",
    "safety_stock",
    "reorder_point",
)
_OF_A_LEVEL = ("on_hand", "safety_stock", "reorder_point")
_WHOLE = re.compile(r"[0-9]{1,10}", re.ASCII)
_MONEY = re.compile(r"[0-9]{1,9}(\.[0-9]{1,4})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong in a file: at a line, counted from 1 as editors do, and in a column of its header."""

    line: int
    column: str | None
    code: str
    message: str


class UnreadableFileError(InventoryError):
    """This file cannot be read as CSV; nothing of it was taken."""

    code = "import_unreadable"

    def __init__(self, error: RowError) -> None:
        where = f"line {error.line}" + (f", column {error.column}" if error.column else "")
        super().__init__(f"{where}: {error.message}")
        self.error = error


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A row that makes sense by itself. None of a member: the file leaves it as it is."""

    line: int
    sku: str
    sku_fold: str
    location: str | None
    on_hand: int | None
    name: str | None
    category: str | None
    unit_cost: Decimal | None
    safety_stock: int | None
    reorder_point: int | None


def check_header(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a first line names.

    Raises:
        UnreadableFileError: it is no header of ours.
    """
    names = tuple(cell.strip().lower() for cell in cells)
    for name in names:
        if name not in COLUMNS + SHOWN:
            raise _bad_header(name, f"there is no column {name[:60]!r}; columns are {', '.join(COLUMNS)}")
        if names.count(name) > 1:
            raise _bad_header(name, f"the column {name} is there twice")
    if "sku" not in names:
        raise _bad_header(None, "the column sku is missing")
    if "location" not in names and set(names) & set(_OF_A_LEVEL):
        raise _bad_header(None, f"{', '.join(_OF_A_LEVEL)} need the column location")
    return names


def _bad_header(column: str | None, message: str) -> UnreadableFileError:
    return UnreadableFileError(RowError(1, column, "bad_header", message))


def check_row(line: int, columns: Sequence[str], cells: Sequence[str]) -> ImportRow | RowError:
    """Return the row, or the first thing that is wrong with it."""
    if len(cells) != len(columns):
        message = f"{len(cells)} cells, where the header has {len(columns)}"
        return RowError(line, None, "wrong_number_of_cells", message)
    row = {name: restore(cell) for name, cell in zip(columns, cells, strict=True)}
    try:
        return _row(line, row)
    except _CellError as error:
        return RowError(line, error.column, error.code, error.message)


class _CellError(Exception):
    def __init__(self, column: str, code: str, message: str) -> None:
        self.column, self.code, self.message = column, code, message


def _row(line: int, row: Mapping[str, str]) -> ImportRow:
    sku = row["sku"]
    try:
        check_sku(sku)
    except InvalidSkuError as error:
        raise _CellError("sku", error.code, error.detail) from None
    location = row.get("location") or None
    if location is not None:
        try:
            check_location(location)
        except InvalidSkuError as error:
            raise _CellError("location", "invalid_location", error.detail) from None
    numbers = {name: _whole(name, row.get(name, "")) for name in _OF_A_LEVEL}
    for name, number in numbers.items():
        if number is not None and location is None:
            raise _CellError("location", "location_missing", f"{name} is of a location, and none is given")
    return ImportRow(
        line=line,
        sku=sku,
        sku_fold=fold(sku),
        location=location,
        name=_text("name", row.get("name", "")),
        category=_text("category", row.get("category", "")),
        unit_cost=_money(row.get("unit_cost", "")),
        **numbers,
    )


def _whole(column: str, cell: str) -> int | None:
    if not cell:
        return None
    if not _WHOLE.fullmatch(cell) or int(cell) > QUANTITY_MAX:
        raise _CellError(
            column, "not_a_quantity", f"{cell[:40]!r} is no whole number from 0 to {QUANTITY_MAX}"
        )
    return int(cell)


def _money(cell: str) -> Decimal | None:
    if not cell:
        return None
    if not _MONEY.fullmatch(cell):
        raise _CellError(
            "unit_cost", "not_an_amount", f"{cell[:40]!r} is no amount with up to 4 decimals after a point"
        )
    return Decimal(cell)


def _text(column: str, cell: str) -> str | None:
    if len(cell) > TEXT_MOST or "\x00" in cell:
        raise _CellError(column, "invalid_text", f"at most {TEXT_MOST} characters, without NUL")
    return cell or None
