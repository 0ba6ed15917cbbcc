"""moto's S3 server. It keeps objects in memory: they survive a freeze, not a stop."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from typing import Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .part import NotReadyError, Place
from .process import Command
from .sockets import LOOPBACK, answers

BUCKET = "inventory"
REGION: Final = "eu-central-1"
# moto checks no signature; these are what every client of the stack sends.
ACCESS_KEY_ID = "embedded"
SECRET_ACCESS_KEY = "embedded-stack-only"  # noqa: S105  # no secret: moto accepts anything


@dataclass(frozen=True, slots=True)
class S3:
    """The object store with its one bucket."""

    place: Place
    port: int
    name: str = "s3"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def endpoint(self) -> str:
        """Where clients connect."""
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> Command:
        """Say how to start it."""
        argv = (sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self.port))
        return Command(argv, cwd=self.place.root)

    def talk(self) -> None:
        """Create the bucket when it is not there, and list it."""
        if not answers(self.port):
            raise NotReadyError("nothing listens yet")
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1}),
        )
        try:
            client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
            client.list_objects_v2(Bucket=BUCKET, MaxKeys=1)
        except client.exceptions.BucketAlreadyOwnedByYou:
            return
        except (BotoCoreError, ClientError) as error:
            raise NotReadyError(str(error)) from error
        finally:
            client.close()
