"""Files as shops send them, and as they should not be."""

from __future__ import annotations

import contextlib
import csv
import io
from decimal import Decimal
from tempfile import SpooledTemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_api.application.csv_file import Delimiter, read_rows
from inventory_api.domain.import_row import ImportRow, RowError, UnreadableFileError
from inventory_api.domain.spreadsheet import neutralise, restore

HEAD = b"sku,location,on_hand\n"


def read(content: bytes, delimiter: Delimiter = Delimiter.COMMA) -> list[ImportRow | RowError]:
    with SpooledTemporaryFile(100) as file:
        file.write(content)
        return list(read_rows(file, delimiter))


def refused(content: bytes, delimiter: Delimiter = Delimiter.COMMA) -> RowError:
    with pytest.raises(UnreadableFileError) as caught:
        read(content, delimiter)
    return caught.value.error


def test_a_file_of_a_spreadsheet_with_its_byte_order_mark_and_line_ends() -> None:
    content = b"\xef\xbb\xbfSKU,location,on_hand,name,unit_cost\r\n"
    content += b'0017,shop,5,"Tee, ""black""",4.20\r\n\r\n12345.,shop,,,\r\n'

    first, second = read(content)

    assert isinstance(first, ImportRow)
    assert (first.sku, first.on_hand, first.name) == ("0017", 5, 'Tee, "black"')
    assert first.unit_cost == Decimal("4.20")
    assert isinstance(second, ImportRow)
    assert (second.line, second.sku, second.on_hand, second.name) == (4, "12345.", None, None)


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("abc", "not_a_quantity"),
        ("-5", "not_a_quantity"),
        ("1.5", "not_a_quantity"),
        ("1e3", "not_a_quantity"),
        ("NaN", "not_a_quantity"),
        ("1" + "0" * 30, "not_a_quantity"),
        ("1000000001", "not_a_quantity"),
        (" 5", "not_a_quantity"),
        ("\u0665", "not_a_quantity"),
        ("=1+1", "not_a_quantity"),
        ("1,2", "wrong_number_of_cells"),
    ],
)
def test_a_cell_that_is_no_quantity_is_named_by_line_and_column_b13(cell: str, code: str) -> None:
    good, bad = read(HEAD + f"A,shop,7\nSKU1,shop,{cell}\n".encode())

    assert isinstance(good, ImportRow)
    assert isinstance(bad, RowError)
    assert (bad.line, bad.code) == (3, code)
    assert bad.column == (None if code == "wrong_number_of_cells" else "on_hand")


@pytest.mark.parametrize("sku", ["a\x00b", " a", "a/b", "x" * 5_000, "\u202eevil", "", "."])
def test_a_sku_that_is_none_is_a_row_error(sku: str) -> None:
    (bad,) = read(HEAD + f"{sku},shop,7\n".encode())

    assert isinstance(bad, RowError)
    assert (bad.line, bad.column) == (2, "sku")


@pytest.mark.parametrize(
    ("content", "line", "code"),
    [
        (b"", 1, "empty"),
        (HEAD + b"A,shop,7\nB,shop,1", 3, "cut"),
        (HEAD + b'A,shop,7\nB,"shop,12\nC,shop,1\n', 3, "bad_quotes"),
        (HEAD + b'A,"sh"op,7\n', 2, "bad_quotes"),
        (b"sku;location;on_hand\nA;shop;7\n", 1, "wrong_delimiter"),
        (b"sku\tlocation\ton_hand\nA\tshop\t7\n", 1, "wrong_delimiter"),
        (b"sku,location,stock\nA,shop,7\n", 1, "bad_header"),
        (b"sku,sku\nA,A\n", 1, "bad_header"),
        (b"location,on_hand\nA,7\n", 1, "bad_header"),
        (b"sku,on_hand\nA,7\n", 1, "bad_header"),
        (HEAD + b"A,shop,7\n\xff\xfe,shop,1\n", 3, "not_utf8"),
        ("sku,location,on_hand\nA,shop,7\n".encode("utf-16"), 1, "not_utf8"),
        (HEAD + b"A" * 30_000 + b",shop,7\n", 2, "line_too_long"),
        (HEAD + b'"' + b"A\n" * 20_000, 2, "bad_quotes"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_where_it_goes_wrong(
    content: bytes, line: int, code: str
) -> None:
    error = refused(content)

    assert (error.code, error.line) == (code, line)


def test_other_delimiters_are_taken_when_asked_for() -> None:
    (row,) = read(b"sku;location;on_hand\nA,1;shop;7\n", Delimiter.SEMICOLON)

    assert isinstance(row, ImportRow)
    assert (row.sku, row.on_hand) == ("A,1", 7)


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''@x"])
def test_formulas_are_made_harmless(formula: str) -> None:
    assert neutralise(formula) == f"'{formula}"
    assert restore(neutralise(formula)) == formula


@given(st.text(st.sampled_from("'=+-@\t\rab1"), max_size=6))
def test_what_is_neutralised_comes_back(text: str) -> None:
    cell = neutralise(text)

    assert restore(cell) == text
    assert cell[:1] not in set("=+-@\t\r")


@given(
    st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=12)), max_size=6),
    st.data(),
)
def test_any_file_is_read_or_refused_and_a_cut_one_never_loses_rows_silently(
    rows: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([("sku", "location", "on_hand"), *rows])
    whole = text.getvalue().encode("utf-8", "replace")
    cut = whole[: data.draw(st.integers(0, len(whole)))]

    if not cut.endswith((b"\n", b"\r")):
        assert refused(cut).code in {"empty", "cut"}
        return
    with contextlib.suppress(UnreadableFileError):
        found = read(cut)
        assert len(found) <= len(rows)
        assert [row.line for row in found] == sorted({row.line for row in found})
