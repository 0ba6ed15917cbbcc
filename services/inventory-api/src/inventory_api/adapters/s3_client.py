"""boto3's client of S3, in as little memory as goes. Importing this loads boto3: 12 MB with a client."""

from __future__ import annotations

import gzip
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import JSONFileLoader, create_loader

from resilience_runtime.lifecycle import give_back

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROSE = "documentation"


class Undocumented(JSONFileLoader):
    """Reads botocore's models without what they say to people, and into plain dictionaries: 2 MB less for S3."""

    def load_file(self, file_path: str) -> Any:
        """Return a model, or None where there is no such file; the path is without its ending."""
        for path, opened in ((Path(f"{file_path}.json"), open), (Path(f"{file_path}.json.gz"), gzip.open)):
            if path.is_file():
                with opened(path, "rt", encoding="utf-8") as file:
                    return json.load(file, object_pairs_hook=_without_prose)
        return None


def _without_prose(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: "" if name == PROSE and isinstance(value, str) else value for name, value in pairs}


def connect(
    endpoint_url: str | None,
    region: str,
    access_key_id: str | None,
    secret_access_key: str | None,
    *,
    timeout_s: float,
    connections: int,
) -> S3Client:
    """Return a client which tries once, and waits so long to connect and for each piece of an answer."""
    session = botocore.session.get_session()
    # The endpoints of every service of AWS are 7 MB; where S3 is, its own rules tell.
    loader = create_loader(str(resources.files(__package__) / "botocore_data"))
    loader.file_loader = Undocumented()
    session.register_component("data_loader", loader)
    client = boto3.session.Session(botocore_session=session).client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        config=Config(
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            max_pool_connections=connections,
        ),
    )
    give_back()
    return client
