"""moto's S3 server in a process of its own, whose time nobody counts: prints its address, ends with its input."""

from __future__ import annotations

import sys

from exporter.tests.s3 import moto_server


def main() -> None:
    with moto_server() as server:
        print(server.endpoint, server.bucket, server.access_key, server.secret_key, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
