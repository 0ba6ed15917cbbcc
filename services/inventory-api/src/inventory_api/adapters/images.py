"""Images and exports in S3: boto3 in a few threads of its own, never on the loop. boto3 is loaded with the first call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, TypedDict, TypeVar
from urllib.parse import quote

from inventory_api.application.errors import UnavailableError
from inventory_api.application.images import Image
from resilience_guards import Bulkhead, BulkheadFull, CallNotPermitted, CircuitBreaker

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

DEPENDENCY = "s3"
THREADS = 4
QUEUE = 16
PART_BYTES = 5 * 1024 * 1024
"""The smallest that S3 takes, but for the last one; a line of 30 Mbit/s carries it within the default deadline."""
CSV = "text/csv; charset=utf-8"
T = TypeVar("T")


class _Upload(TypedDict):
    """What calls of one upload in parts have in common."""

    Bucket: str
    Key: str
    UploadId: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where images are kept, and how to get there."""

    endpoint_url: str | None
    name: str
    region: str
    access_key_id: str | None
    secret_access_key: str | None


class S3Images:
    """Images as objects `images/<sku>`."""

    def __init__(self, bucket: Bucket, breaker: CircuitBreaker, deadline_s: float) -> None:
        self._bucket = bucket
        self._breaker = breaker
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._places = Bulkhead(THREADS, QUEUE, deadline_s)
        self._client: S3Client | None = None

    async def put(self, name: str, content: bytes, media_type: str) -> str:
        """Keep an image."""

        def put() -> str:
            kept = self._connected().put_object(
                Bucket=self._bucket.name, Key=_key(name), Body=content, ContentType=media_type
            )
            return kept["ETag"]

        return await self._call(put)

    async def get(self, name: str) -> Image | None:
        """Return an image, or None when there is none."""

        def get() -> Image | None:
            client = self._connected()
            try:
                found = client.get_object(Bucket=self._bucket.name, Key=_key(name))
            except client.exceptions.NoSuchKey:
                return None
            return Image(found["Body"].read(), found["ContentType"], found["ETag"])

        return await self._call(get)

    async def keep_file(self, name: str, file: SpooledTemporaryFile[bytes]) -> None:
        """Keep a CSV file: in one call, or a large one part after part, so that each call ends within the deadline.

        Not boto3's own transfer of files, which uploads in threads that know no breaker.
        """
        part = await self._read(file)
        if len(part) < PART_BYTES:
            await self._call(
                lambda: self._connected().put_object(
                    Bucket=self._bucket.name, Key=name, Body=part, ContentType=CSV
                )
            )
            return
        upload = await self._call(lambda: self._begin(name))
        try:
            parts: list[CompletedPartTypeDef] = []
            while part:
                parts.append(await self._call(partial(self._put_part, upload, len(parts) + 1, part)))
                part = await self._read(file)
            await self._call(
                lambda: self._connected().complete_multipart_upload(
                    **upload, MultipartUpload={"Parts": parts}
                )
            )
        except BaseException:
            with contextlib.suppress(UnavailableError):
                await self._call(lambda: self._connected().abort_multipart_upload(**upload))
            raise

    async def _read(self, file: SpooledTemporaryFile[bytes]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._threads, file.read, PART_BYTES)

    def _begin(self, name: str) -> _Upload:
        """Begin an upload, and end those of the same name that a process which is no more has left."""
        client, bucket = self._connected(), self._bucket.name
        for left in client.list_multipart_uploads(Bucket=bucket, Prefix=name).get("Uploads", ()):
            client.abort_multipart_upload(Bucket=bucket, Key=left["Key"], UploadId=left["UploadId"])
        begun = client.create_multipart_upload(Bucket=bucket, Key=name, ContentType=CSV)
        return {"Bucket": bucket, "Key": name, "UploadId": begun["UploadId"]}

    def _put_part(self, upload: _Upload, number: int, content: bytes) -> CompletedPartTypeDef:
        kept = self._connected().upload_part(**upload, PartNumber=number, Body=content)
        return {"PartNumber": number, "ETag": kept["ETag"]}

    async def link(self, name: str, valid_s: int) -> str:
        """Return an address that anybody can read an object at for so long; S3 is not asked."""

        def sign() -> str:
            where = {"Bucket": self._bucket.name, "Key": name}
            return self._connected().generate_presigned_url("get_object", Params=where, ExpiresIn=valid_s)

        return await asyncio.get_running_loop().run_in_executor(self._threads, sign)

    async def check(self) -> None:
        """Ask for the bucket."""
        await self._call(lambda: self._connected().head_bucket(Bucket=self._bucket.name))

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            async with self._places, self._breaker.guard():
                return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except CallNotPermitted as refused:
            raise UnavailableError(DEPENDENCY, "its circuit breaker is open", refused.retry_after_s) from None
        except BulkheadFull:
            raise UnavailableError(DEPENDENCY, "too many calls wait for it") from None
        except Exception as error:
            raise UnavailableError(DEPENDENCY, f"it does not answer ({type(error).__name__})") from error

    def _connected(self) -> S3Client:
        if self._client is None:
            from .s3_client import connect  # noqa: PLC0415 - 12 MB that a replica without images never needs

            self._client = connect(
                self._bucket.endpoint_url,
                self._bucket.region,
                self._bucket.access_key_id,
                self._bucket.secret_access_key,
                timeout_s=self._deadline_s / 2,
                connections=THREADS,
            )
        return self._client


def _key(name: str) -> str:
    return f"images/{quote(name, safe='')}"
