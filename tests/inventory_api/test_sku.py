from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_api.domain.errors import InvalidSkuError
from inventory_api.domain.sku import check_location, check_sku, fold


@pytest.mark.parametrize(
    "text", ["0017", "12345.", "1234567891234", "abc", "new test", "-", "Größe-M", "a" * 120]
)
def test_text_is_kept_exactly(text: str) -> None:
    assert check_sku(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " a",
        "a ",
        "a\x00",
        "a\nb",
        "a/b",
        "a\\b",
        ".",
        "..",
        "a" * 121,
        "e\u0301",
        "\u202eabc",
        "\ud800",
        "\u200b",
    ],
)
def test_text_that_could_be_mistaken_is_refused(text: str) -> None:
    with pytest.raises(InvalidSkuError):
        check_sku(text)


def test_a_location_code_is_shorter() -> None:
    assert check_location("l" * 60)
    with pytest.raises(InvalidSkuError, match="location code"):
        check_location("l" * 61)


@given(st.text(max_size=130))
def test_whatever_is_taken_is_kept_exactly_and_folds_with_its_case(text: str) -> None:
    try:
        kept = check_sku(text)
    except InvalidSkuError:
        return

    assert kept == text
    assert "\x00" not in text
    assert fold(text) == fold(unicodedata.normalize("NFC", text))
