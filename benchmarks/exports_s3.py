"""An S3 server in a process of its own, whose time nobody counts: prints its address, ends with its input.

python -m benchmarks.exports_s3 rclone|moto FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from exporter.tests.s3 import moto_server, rclone_server


def main() -> None:
    name, folder = sys.argv[1:]
    with rclone_server(Path(folder)) if name == "rclone" else moto_server() as server:
        print(server.endpoint, server.bucket, server.access_key, server.secret_key, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
