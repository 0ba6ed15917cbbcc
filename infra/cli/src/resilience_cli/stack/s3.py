"""moto's S3 server. It keeps objects in memory: they survive a freeze, not a stop."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from .loopback_http import ask
from .part import NotReadyError, Place
from .process import Command
from .sockets import LOOPBACK

BUCKET = "inventory"
REGION: Final = "eu-central-1"
# moto checks no signature; these are what every client of the stack sends.
ACCESS_KEY_ID = "embedded"
SECRET_ACCESS_KEY = "embedded-stack-only"  # noqa: S105  # no secret: moto accepts anything
AUTHORIZATION = (
    f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/20260101/{REGION}/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
LOCATION = (
    '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    f"<LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
)


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
        """Create the bucket when it is not there, and list it.

        Two plain requests: loading an AWS library for them would double the start of every command.
        """
        headers = {"Authorization": AUTHORIZATION}
        made = ask(self.port, f"/{BUCKET}", "PUT", body=LOCATION, headers=headers)
        if made.status not in {HTTPStatus.OK, HTTPStatus.CONFLICT}:
            raise NotReadyError(f"the bucket cannot be made: {made.status}")
        listed = ask(self.port, f"/{BUCKET}?list-type=2&max-keys=1", headers=headers)
        if listed.status != HTTPStatus.OK:
            raise NotReadyError(f"the bucket cannot be listed: {listed.status}")
