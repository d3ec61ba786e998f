"""Our imports: the command as people call it, its start included, and `\\copy` in between."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.imports_file import Files
from benchmarks.imports_ground import Ground, Timed, copy_floor

DONE, WITH_REJECTS = 0, 3  # exit codes
COPY, FIRST, SAME, TENTH, ALL = "copy", "first import", "the same file again", "10 % changed", "all changed"


@dataclass(slots=True)
class Measured:
    """Every run of every scenario, and the two halves of imports of an identical file, timed from within."""

    runs: dict[str, list[Timed]] = field(default_factory=lambda: defaultdict(list))
    previews: list[float] = field(default_factory=list)
    confirms: list[float] = field(default_factory=list)

    def seconds(self, name: str) -> float:
        return statistics.median(run.seconds for run in self.runs[name])

    def cpu(self, name: str) -> float:
        return statistics.median(run.cpu for run in self.runs[name])

    def peak_mb(self) -> float:
        return max(run.peak_mb for runs in self.runs.values() for run in runs)


class Tenant:
    """A tenant of the benchmark's own and its datasets."""

    def __init__(self, ground: Ground, slug: str) -> None:
        self.ground = ground
        self.slug = slug
        ground.run("-m", "rowhouse", "migrate_tenants")
        ground.run("-m", "rowhouse", "provision_tenant", slug, "--admin", "bench@rowhouse.example")

    def dataset(self, definition: Path, slug: str = "stock") -> None:
        self.ground.run(
            "-m", "rowhouse", "create_dataset", "--tenant", self.slug, "--definition", str(definition),
            "--slug", slug, "--name", slug.title(),
        )  # fmt: skip

    def import_file(self, path: Path, expected: dict[str, int], *words: str, dataset: str = "stock") -> Timed:
        """Import a file by the command, with further words of it.

        :raises SystemExit: it did not do what it should have; a count left out is 0.
        """
        timed = self.ground.run(
            "-m", "rowhouse", "import_file", str(path), "--tenant", self.slug, "--dataset", dataset, "--json",
            *words, codes=(DONE, WITH_REJECTS),
        )  # fmt: skip
        check(path.name, json.loads(timed.output), expected)
        return timed

    def import_in_halves(self, path: Path, **expected: int) -> tuple[float, float]:
        """Import a file in a process that times preview and merge apart; return the seconds of each."""
        timed = self.ground.run(
            "-m", "benchmarks.imports_driver", str(path), self.slug, "stock",
            DJANGO_SETTINGS_MODULE="rowhouse.settings",
        )  # fmt: skip
        said = json.loads(timed.output)
        check(path.name, said, expected)
        return said["preview_seconds"], said["merge_seconds"]

    def columns(self) -> list[tuple[str, str]]:
        """Return name and type of the dataset's own columns, so that the floor stores the same."""
        link = self.ground.link()
        with link.cursor() as cursor:
            cursor.execute("SELECT schema_name FROM public.tenants_tenant WHERE slug = %s", [self.slug])
            (schema,) = cursor.fetchone()
            cursor.execute(
                "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c"
                " ON c.oid = a.attrelid WHERE c.relnamespace = %s::regnamespace AND c.relname ~ '^ds_[0-9]+$'"
                " AND a.attnum > 1 AND NOT a.attisdropped ORDER BY a.attnum",
                [schema],
            )
            found = list(cursor.fetchall())
        link.close()
        return found

    def remove(self) -> None:
        self.ground.run("-m", "rowhouse", "suspend_tenant", self.slug)
        self.ground.run("-m", "rowhouse", "delete_tenant", self.slug, "--now", "--confirm", self.slug)


def check(what: str, said: dict[str, Any], expected: dict[str, int]) -> None:
    """Compare an import's counts with what the file holds.

    :raises SystemExit: they differ.
    """
    found = {name: said[name] for name in ("created", "updated", "unchanged", "rejected")}
    wanted = dict.fromkeys(found, 0) | expected
    if found != wanted:
        raise SystemExit(f"The import of {what} is wrong: {found}, expected {wanted}.")


def measure(ground: Ground, files: Files, rounds: int) -> Measured:
    """Run every scenario once a round, `\\copy` at its begin, in its middle and at its end."""
    measured = Measured()
    for number in range(1, rounds + 1):
        tenant = Tenant(ground, f"bench-{number}")
        tenant.dataset(files.definition)
        _round(ground, files, tenant, measured)
        tenant.remove()
    return measured


def _round(ground: Ground, files: Files, tenant: Tenant, measured: Measured) -> None:
    good, rejected, columns = files.good, files.rejected, tenant.columns()

    def floor() -> None:
        measured.runs[COPY].append(copy_floor(ground, files.clean, columns))

    def imported(name: str, path: Path, **expected: int) -> None:
        ground.settle()
        measured.runs[name].append(tenant.import_file(path, {**expected, "rejected": rejected}))

    floor()
    imported(FIRST, files.faulty, created=good)
    imported(SAME, files.faulty, unchanged=good)
    ground.settle()
    preview, confirm = tenant.import_in_halves(files.faulty, unchanged=good, rejected=rejected)
    measured.previews.append(preview)
    measured.confirms.append(confirm)
    floor()
    imported(TENTH, files.tenth, updated=files.changed, unchanged=good - files.changed)
    imported(ALL, files.all, updated=good)
    floor()
