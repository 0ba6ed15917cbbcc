from __future__ import annotations

import os
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from uuid import uuid4

import boto3
import pytest

from inventory_api.adapters.images import PART_BYTES, Bucket, S3Images
from inventory_api.application.errors import UnavailableError
from inventory_api.application.images import media_type_of
from resilience_guards import CircuitBreaker
from tests.fixtures.services import S3Access


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


@pytest.fixture
def bucket(s3: S3Access) -> Bucket:
    return Bucket(s3.endpoint_url, s3.bucket, s3.region, s3.access_key_id, s3.secret_access_key)


@pytest.fixture
def images(bucket: Bucket) -> Iterator[S3Images]:
    images = S3Images(bucket, CircuitBreaker("s3"), 3)
    yield images
    images.close()


async def keep(images: S3Images, name: str, content: bytes) -> None:
    with SpooledTemporaryFile[bytes](1000) as file:
        file.write(content)
        file.seek(0)
        await images.keep_file(name, file)


@pytest.mark.parametrize(
    ("size", "calls"),
    [(0, 1), (PART_BYTES - 1, 1), (PART_BYTES, 3), (2 * PART_BYTES, 4), (2 * PART_BYTES + 1, 5)],
)
async def test_a_file_of_any_size_is_kept_whole_each_part_a_call_of_its_own(
    bucket: Bucket, images: S3Images, size: int, calls: int
) -> None:
    name, content = f"exports/{uuid4()}.csv", os.urandom(size)

    await keep(images, name, content)

    found = images._connected().get_object(Bucket=bucket.name, Key=name)
    assert found["Body"].read() == content
    assert found["ContentType"] == "text/csv; charset=utf-8"
    assert images._breaker.snapshot().calls == calls


async def test_what_a_part_breaks_off_leaves_nothing_and_what_a_kill_left_goes_with_the_next(
    bucket: Bucket, images: S3Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, client = f"exports/{uuid4()}.csv", images._connected()
    client.create_multipart_upload(Bucket=bucket.name, Key=name)
    with monkeypatch.context() as broken:
        broken.setattr(client, "upload_part", _fails)
        with pytest.raises(UnavailableError):
            await keep(images, name, bytes(PART_BYTES))

    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket.name, Prefix=name)
    await keep(images, name, bytes(PART_BYTES))
    assert client.head_object(Bucket=bucket.name, Key=name)["ContentLength"] == PART_BYTES


def _fails(**_: object) -> None:
    raise ConnectionResetError
