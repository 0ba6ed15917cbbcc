from __future__ import annotations

import boto3
import pytest

from inventory_api.adapters.images import Bucket, S3Images
from inventory_api.application.images import media_type_of
from resilience_guards import CircuitBreaker


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1", "cn-north-1", "us-gov-west-1"])
def test_the_short_list_of_endpoints_leads_where_the_long_one_does(region: str) -> None:
    images = S3Images(Bucket(None, "pictures", region, "id", "secret"), CircuitBreaker("s3"), 3)
    whole = boto3.session.Session().client(
        "s3", region_name=region, aws_access_key_id="id", aws_secret_access_key="secret"
    )

    assert images._connected().meta.endpoint_url == whole.meta.endpoint_url
    images.close()


def test_the_content_tells_what_it_is() -> None:
    assert media_type_of(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert media_type_of(b"<svg onload='alert(1)'>") is None
