"""moto's S3 on loopback, by its own protocol, and a front before it that has requests go wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from prebake.checkpoints.sources.bucket import Bucket
from prebake.checkpoints.sources.object_stores import S3
from tests.support.checkpoints.parts import HASTY
from tests.support.registry_servers.front import Front
from tests.support.registry_servers.server import served

PIECE = 1_000_000
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class S3Server:
    """One bucket. ``client`` is boto3's, past the front; the environment's endpoint is the front."""

    front: Front
    client: Any
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}/models"

    def put(self, file: str, data: bytes) -> dict[str, Any]:
        return dict(self.client.put_object(Bucket=self.name, Key=f"models/{file}", Body=data))

    def keep_versions(self) -> None:
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})

    def ranges(self, file: str) -> list[str]:
        """The ranges that were asked for, in order."""
        return [seen.headers["range"] for seen in self.front.requests("GET", f"models/{file}")]


def source(least: int = 1 << 40) -> Bucket:
    """It waits longer for an answer than moto takes on a busy machine; pieces come at the same time from ``least`` bytes on."""
    return Bucket(S3, HASTY, piece=PIECE, least=least)


@contextmanager
def serve_s3() -> Iterator[S3Server]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        name = f"bucket-{uuid.uuid4().hex}"
        client.create_bucket(Bucket=name)
        front = Front(f"{host}:{port}")
        with served(front):
            yield S3Server(front, client, name)
    finally:
        moto.stop()
