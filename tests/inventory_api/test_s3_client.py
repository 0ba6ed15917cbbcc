"""botocore's model of S3 is the same without its prose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.loaders import JSONFileLoader

from inventory_api.adapters.s3_client import Undocumented

S3 = Path(botocore.__file__).parent / "data" / "s3" / "2006-03-01"


def without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "" if name == "documentation" and isinstance(each, str) else without_prose(each)
            for name, each in value.items()
        }
    return [without_prose(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["service-2", "endpoint-rule-set-1", "waiters-2", "paginators-1"])
def test_a_model_is_whole_but_for_its_prose(name: str) -> None:
    assert Undocumented().load_file(str(S3 / name)) == without_prose(
        JSONFileLoader().load_file(str(S3 / name))
    )


def test_of_a_model_that_is_not_there_nothing_is_read(tmp_path: Path) -> None:
    assert Undocumented().load_file(str(tmp_path / "service-2")) is None
