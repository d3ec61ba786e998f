"""Show a mapping as import_file takes it: the one an import used, or a saved one."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.command import Result
from core.errors import RowhouseError
from datasets.services import dataset_by_slug
from importer import saved_mappings
from importer.mapping import write_mapping
from importer.matching import matches_of
from importer.models import ImportJob


class NoSuchImport(RowhouseError):
    """An import was named that the tenant does not have."""

    code = "no-such-import"
    status = 404


class Command(TenantCommand):
    help = "Show a mapping as import_file --mapping takes it."

    def arguments(self, parser: CommandParser) -> None:
        of = parser.add_mutually_exclusive_group(required=True)
        of.add_argument("--job", type=int, metavar="N", help="the mapping this import used")
        of.add_argument("--dataset", metavar="SLUG", help="a saved mapping of this dataset, by --name")
        parser.add_argument("--name", default="", help="the saved mapping's name")

    def run_in_tenant(self, **options: Any) -> Result:
        if options["job"] is not None:
            job = ImportJob.objects.select_related("dataset").filter(pk=options["job"]).first()
            if job is None or job.dataset_id is None:
                raise NoSuchImport(f"There is no import {options['job']}. See list_imports.")
            matches, dataset = [*matches_of(job)], job.dataset
        else:
            dataset = dataset_by_slug(options["dataset"])
            matches = saved_mappings.matches_in(saved_mappings.named(dataset, options["name"]))
        written = write_mapping(matches, dataset.spec().columns)
        return Result(written, [json.dumps(written, ensure_ascii=False, indent=2)])
