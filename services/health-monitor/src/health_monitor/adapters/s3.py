"""S3: put, get, compare, delete one small object.

boto3 in threads rather than aioboto3: aiobotocore pins one version of botocore for the whole system, and
its aiohttp stack costs memory, for one call every five seconds. What it would give, cancellation, comes from
botocore's own timeouts: a frozen server releases each thread within the deadline, and the number of threads
is bounded for a server which trickles.
"""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_bytes
from typing import TYPE_CHECKING

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError

from health_monitor.domain import ProbeError, of_s3_code
from resilience_contracts import Outcome

from .connection import no_connection
from .threads import Threads

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

THREADS = 3
BODY_BYTES = 64


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the object goes. Without an endpoint and keys: AWS's own endpoint and credential chain."""

    name: str
    region: str
    endpoint_url: str | None
    access_key_id: str | None
    secret_access_key: str | None


class S3Probe:
    """Probe of S3.

    Args:
        bucket: an existing bucket.
        key: prefix of this monitor's own objects, one a thread: a late thread never meets a newer probe's object,
            and broken probes leave at most three.
        deadline_s: bound of each step; the caller bounds the whole.
    """

    def __init__(self, bucket: Bucket, key: str, deadline_s: float) -> None:
        self._client = _client(bucket, deadline_s)
        self._bucket = bucket.name
        self._key = key
        self._threads = Threads(THREADS, "s3-probe")

    async def check(self) -> None:
        """Put a random body, get it, compare, delete it."""
        try:
            await self._threads.run(self._round_trip)
        except exceptions.ClientError as error:
            raise _refusal(error) from None
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise ProbeError(Outcome.AUTH, type(error).__name__) from None
        except (exceptions.ReadTimeoutError, exceptions.ConnectTimeoutError) as error:
            raise ProbeError(Outcome.TIMEOUT, type(error).__name__) from None
        except ResponseParserError as error:
            raise ProbeError(Outcome.PROTOCOL, type(error).__name__) from None
        except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
            raise no_connection(error) from None
        except exceptions.BotoCoreError as error:
            raise ProbeError(Outcome.PROTOCOL, type(error).__name__) from None

    async def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def _round_trip(self, slot: int) -> None:
        key, written = f"{self._key}/{slot}", token_bytes(BODY_BYTES)
        self._client.put_object(Bucket=self._bucket, Key=key, Body=written)
        with self._client.get_object(Bucket=self._bucket, Key=key)["Body"] as body:
            read = body.read(BODY_BYTES + 1)
        self._client.delete_object(Bucket=self._bucket, Key=key)
        if read != written:
            raise ProbeError(Outcome.PROTOCOL, "what was put did not come back")


def _client(bucket: Bucket, deadline_s: float) -> S3Client:
    return boto3.client(
        "s3",
        region_name=bucket.region,
        endpoint_url=bucket.endpoint_url,
        aws_access_key_id=bucket.access_key_id,
        aws_secret_access_key=bucket.secret_access_key,
        config=Config(
            connect_timeout=deadline_s,
            read_timeout=deadline_s,
            retries={"total_max_attempts": 1},
            max_pool_connections=THREADS,
            s3={"addressing_style": "path"} if bucket.endpoint_url else {},
        ),
    )


def _refusal(error: exceptions.ClientError) -> ProbeError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    named = "" if code.isdecimal() else code[:40]
    return ProbeError(of_s3_code(code, status), f"HTTP {status} {named}".strip())
