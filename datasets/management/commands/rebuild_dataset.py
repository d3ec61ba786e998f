"""Make a dataset's tables anew, here and now, through the same service as the pages."""

from __future__ import annotations

from time import monotonic
from typing import Any

from django.core.management.base import CommandParser

import jobs.services
from accounts.command import TenantCommand
from core.command import DONE, FAILED, Result
from datasets import ddl, rebuilding
from datasets.change_models import ChangeState
from datasets.change_words import outcome
from datasets.services import dataset_by_slug
from jobs.foreground import progress_shown


class Command(TenantCommand):
    help = "Make a dataset's tables anew without the places that dropped columns keep, while people work on."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", metavar="SLUG")
        parser.add_argument("--dry-run", action="store_true", help="say how many places are left, and stop")
        parser.add_argument("--as", dest="user", metavar="USER", help="whose e-mail address history names")

    def run_in_tenant(self, **options: Any) -> Result:
        started = monotonic()
        dataset = dataset_by_slug(options["dataset"])
        before = ddl.places(dataset.spec())
        figures = {"free": before.free, "dropped": before.dropped, "is_worn": rebuilding.is_worn(before)}
        if options["dry_run"]:
            return Result({"dataset": dataset.slug, **figures}, [_words(dataset.title, before)])
        change = rebuilding.request_rebuild(dataset=dataset, by=self.person(options["user"]))
        with progress_shown() as tell:
            jobs.services.run_until_done(int(change.job_id), on_progress=tell)
        change.refresh_from_db()
        if change.error:
            self.stderr.write(f"error[{change.error_code}]: {change.error}")
        after = ddl.places(dataset.spec())
        data = {
            "dataset": dataset.slug,
            **figures,
            "change": change.pk,
            "state": change.state,
            "free_after": after.free,
            "records": change.records,
            "seconds": round(monotonic() - started, 3),
        }
        is_done = change.state == ChangeState.CHANGE_SUCCEEDED
        return Result(data, [outcome(change), _words(dataset.title, after)], DONE if is_done else FAILED)


def _words(title: str, places: ddl.Places) -> str:
    return (
        f"{title}: {places.free:,} of {ddl.MOST_PLACES:,} places for columns are free,"
        f" {places.dropped:,} are kept by dropped ones."
    )
