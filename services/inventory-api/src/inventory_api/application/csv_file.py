"""Reads a CSV file of an import row by row, with the place of everything that is wrong in it."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from enum import StrEnum
from tempfile import SpooledTemporaryFile

from inventory_api.domain.import_row import ImportRow, RowError, UnreadableFileError, check_header, check_row

LINE_BYTES_MOST = 20_000


class Delimiter(StrEnum):
    """What stands between cells."""

    COMMA = "comma"
    SEMICOLON = "semicolon"
    TAB = "tab"

    @property
    def character(self) -> str:
        """The character itself."""
        return {"comma": ",", "semicolon": ";", "tab": "\t"}[self.value]


def read_rows(file: SpooledTemporaryFile[bytes], delimiter: Delimiter) -> Iterator[ImportRow | RowError]:
    """Give each row after the header. Blocks; the file is UTF-8, with a byte order mark or without.

    Raises:
        UnreadableFileError: what follows cannot be trusted, or the file was cut.
    """
    _check_end(file)
    lines = csv.reader(_lines(file), delimiter=delimiter.character, strict=True)
    line = 1
    try:
        header = next(lines, [])
        _check_delimiter(header, delimiter)
        columns = check_header(header)
        line = lines.line_num + 1
        for cells in lines:
            if cells:
                yield check_row(line, columns, cells)
            line = lines.line_num + 1
    except csv.Error as error:
        raise UnreadableFileError(RowError(line, None, "bad_quotes", _say(error))) from None


def _check_end(file: SpooledTemporaryFile[bytes]) -> None:
    """A last line without its end may be the first part of a number: stock would be wrong without a word."""
    file.seek(0)
    if file.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        raise UnreadableFileError(RowError(1, None, "not_utf8", "the text is UTF-16, not UTF-8"))
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise UnreadableFileError(RowError(1, None, "empty", "the file is empty"))
    file.seek(size - 1)
    ended = file.read(1) in {b"\n", b"\r"}
    file.seek(0)
    if not ended:
        line = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b"")) + 1
        file.seek(0)
        message = "the last line has no line break: the file may have been cut"
        raise UnreadableFileError(RowError(line, None, "cut", message))


def _lines(file: SpooledTemporaryFile[bytes]) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MOST + 1), b""), 1):
        if len(line) > LINE_BYTES_MOST:
            message = f"the line has more than {LINE_BYTES_MOST} bytes"
            raise UnreadableFileError(RowError(number, None, "line_too_long", message))
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise UnreadableFileError(RowError(number, None, "not_utf8", "the text is not UTF-8")) from None


def _check_delimiter(header: list[str], delimiter: Delimiter) -> None:
    if len(header) > 1 or not header:
        return
    for other in Delimiter:
        if other is not delimiter and other.character in header[0]:
            message = f"cells seem to be parted by {other}, not {delimiter}: ask with delimiter={other}"
            raise UnreadableFileError(RowError(1, None, "wrong_delimiter", message))


def _say(error: csv.Error) -> str:
    text = str(error)
    return "a quoted cell never ends" if "unexpected end" in text else text
