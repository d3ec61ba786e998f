"""What others do with the same records: `python -m benchmarks.exports_peer NAME FILE`; prints the rows written."""

from __future__ import annotations

import csv
import gzip
import os
import sys
from pathlib import Path

FIELDS = (
    "key", "name", "note", "status", "quantity", "price", "rate", "is_open", "day", "seen_at", "comment", "due",
)  # fmt: skip
CHUNK = 2_000


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.imports_peer.settings"
    import django  # noqa: PLC0415 -- after the environment

    django.setup()
    name, path = sys.argv[1:]
    rows = {"orm": orm, "import_export": import_export, "xlsxwriter": xlsxwriter}[name](Path(path))
    _upload(Path(path))
    print(rows)


def _upload(path: Path) -> None:
    """Send the file to the server that ours goes to, as boto3's documentation does."""
    import boto3  # noqa: PLC0415 -- slow import
    from botocore.config import Config  # noqa: PLC0415 -- slow import

    client = boto3.client(
        "s3",
        endpoint_url=os.environ["ROWHOUSE_S3_ENDPOINT"],
        aws_access_key_id=os.environ["ROWHOUSE_S3_ACCESS_KEY"],
        aws_secret_access_key=os.environ["ROWHOUSE_S3_SECRET_KEY"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )
    client.upload_file(str(path), os.environ["ROWHOUSE_S3_BUCKET"], f"peer/{path.name}")


def orm(path: Path) -> int:
    """Write each object of a queryset's iterator by csv.writer, as Django's documentation does."""
    from benchmarks.imports_peer.models import PlainStock  # noqa: PLC0415 -- after the settings

    rows = 0
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        for one in PlainStock._default_manager.order_by("key").iterator(chunk_size=CHUNK):
            writer.writerow([getattr(one, name) for name in FIELDS])
            rows += 1
    return rows


def import_export(path: Path) -> int:
    """Export a resource of every field as CSV, as its admin does."""
    from import_export import resources  # type: ignore[import-untyped] # noqa: PLC0415 -- after the settings

    from benchmarks.imports_peer.models import PlainStock  # noqa: PLC0415 -- after the settings

    made = resources.modelresource_factory(PlainStock)().export(PlainStock._default_manager.order_by("key"))
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        file.write(made.csv)
    return len(made)


def xlsxwriter(path: Path) -> int:
    """Write each value of a queryset's iterator by xlsxwriter, in constant memory."""
    import datetime as dt  # noqa: PLC0415 -- beside its one use

    from xlsxwriter import Workbook  # noqa: PLC0415 -- slow import

    from benchmarks.imports_peer.models import PlainStock  # noqa: PLC0415 -- after the settings

    book = Workbook(
        path,
        {
            "constant_memory": True,
            "strings_to_urls": False,
            "strings_to_formulas": False,
            "remove_timezone": True,
        },
    )
    day, moment = (book.add_format({"num_format": one}) for one in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss"))
    sheet, row = book.add_worksheet(), 0
    sheet.write_row(0, 0, FIELDS)
    values = PlainStock._default_manager.order_by("key").values_list(*FIELDS)
    for row, record in enumerate(values.iterator(chunk_size=CHUNK), start=1):
        for column, value in enumerate(record):
            if isinstance(value, dt.date):
                sheet.write_datetime(row, column, value, moment if isinstance(value, dt.datetime) else day)
            else:
                sheet.write(row, column, value)
    book.close()
    return row


if __name__ == "__main__":
    main()
