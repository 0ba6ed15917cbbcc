from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.tags import entity_tag, matches

TAG = entity_tag(b"body")


def test_a_tag_is_strong_and_covers_every_byte() -> None:
    assert TAG.startswith('"')
    assert entity_tag(b"body") == TAG
    assert entity_tag(b"bodY") != TAG


@pytest.mark.parametrize(
    "header",
    [TAG, f"W/{TAG}", TAG.strip('"'), f'"a", {TAG}', f'W/"a",W/{TAG}', f'"a", {TAG.strip(chr(34))} , "b"'],
)
def test_a_tag_is_found_as_real_clients_write_it(header: str) -> None:
    assert matches(header, TAG)


@pytest.mark.parametrize(
    "header", [None, "", "*", '"other"', f'"{TAG.strip(chr(34))}x"', ",,,", '"', "W/", '"*"']
)
def test_another_tag_is_not_found(header: str | None) -> None:
    assert not matches(header, TAG)


@given(st.text())
def test_any_text_is_read_without_failing(header: str) -> None:
    assert not matches(header, TAG)
