"""The main job on real files, as the demo's summary tells it and as others count it."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rowhouse.demo.files import FOLDER, faulty_navaids
from tests.conftest import Told, start_demo, tell

GOOD = [
    ("acme", "countries", "countries.csv"),
    ("acme", "navaids", "navaids.csv"),
    ("acme", "cities", "world-cities.csv"),
    ("acme", "runways", "runways.csv"),
    ("globex", "countries", "country-codes.csv"),
    ("globex", "companies", "constituents.csv"),
    ("globex", "population", "population.csv"),
]


def records_in(path: Path) -> int:
    """Count a file's records with Python's reader, the header aside."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def import_of(told: Told, tenant: str, dataset: str, story: str) -> dict[str, object]:
    found: dict[str, object]
    (found,) = [
        one
        for one in told.summary["imports"]
        if (one["tenant"], one["dataset"], one["story"]) == (tenant, dataset, story)
    ]
    return found


def counts(one: dict[str, object]) -> tuple[object, ...]:
    return one["created"], one["updated"], one["unchanged"], one["rejected"]


@pytest.mark.parametrize(("tenant", "dataset", "file"), GOOD)
def test_every_record_of_a_good_file_is_created(told, tenant, dataset, file):
    assert counts(import_of(told, tenant, dataset, "good")) == (records_in(FOLDER / file), 0, 0, 0)


@pytest.mark.case("F43")
def test_the_same_file_again_changes_nothing(told):
    records = records_in(FOLDER / "world-cities.csv")
    assert counts(import_of(told, "acme", "cities", "repeated")) == (0, 0, records, 0)


def test_a_faulty_file_rejects_exactly_the_planted_faults(told):
    done = import_of(told, "acme", "navaids", "faulty")
    faulty = faulty_navaids()
    assert done["issues"] == [fault.as_dict() for fault in faulty.faults]
    # The cell of two lines is a change like any other; the rejected rows change nothing.
    assert counts(done) == (0, 1, records_in(FOLDER / "navaids.csv") - 7, 6)


def test_renamed_and_reordered_labels_map_by_themselves(told):
    records = records_in(FOLDER / "world-cities.csv")
    assert counts(import_of(told, "acme", "cities", "renamed")) == (0, 3, records - 3, 0)


def test_every_export_is_the_object_it_says(told):
    exports = told.summary["exports"]
    assert sorted((one["tenant"], one["dataset"]) for one in exports) == sorted(
        (tenant, dataset) for tenant, dataset, _file in GOOD
    )
    for one in exports:
        content = (told.folder / "storage" / one["key"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"]
        assert one["key"].startswith(f"{one['tenant']}/exports/{one['dataset']}/")
        assert records_in(told.folder / "storage" / one["key"]) == one["rows"]


def test_an_export_imported_back_changes_nothing(told):
    records = records_in(FOLDER / "world-cities.csv")
    assert counts(told.summary["round_trip"]) == (0, 0, records, 0)


def test_the_same_slug_means_two_datasets(told):
    assert [one["dataset"] for one in told.summary["exports"]].count("countries") == 2


def test_the_same_story_keeps_its_files_on_s3(rclone, tmp_path, django_db_modify_db_settings):
    bucket = {
        "ROWHOUSE_S3_BUCKET": rclone.bucket,
        "ROWHOUSE_S3_ENDPOINT": rclone.endpoint,
        "ROWHOUSE_S3_ACCESS_KEY": rclone.access_key,
        "ROWHOUSE_S3_SECRET_KEY": rclone.secret_key,
    }
    with tell(tmp_path, **bucket) as told:
        client = rclone.client()
        for one in told.summary["exports"]:
            stored = client.get_object(Bucket=rclone.bucket, Key=one["key"])["Body"].read()
            assert hashlib.sha256(stored).hexdigest() == one["sha256"]
        prefixes = {key.partition("/")[0] for key in list(rclone.keys())}
        assert prefixes == {"acme", "globex"}
        assert not (tmp_path / "storage").exists()


def test_one_ctrl_c_stops_every_process(told):
    served = start_demo(told)
    children = _below(served.process.pid)
    assert len(children) >= 4  # gunicorn and its workers, the worker and its own
    assert served.stop() == 0
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def _below(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *_below(int(child))]
    return found


def test_a_port_in_use_is_said_in_one_sentence(told, served):
    done = subprocess.run(
        [sys.executable, "-m", "rowhouse", "demo", "--port", str(served.port)],
        env={**os.environ, **told.environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stderr == (
        f"error[port-in-use]: Port {served.port} is in use. Stop what listens there, or choose another with --port.\n"
    )
