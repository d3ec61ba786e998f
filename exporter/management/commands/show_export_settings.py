"""Show how a tenant's datasets are exported."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.clock import now
from core.command import Result
from datasets.models import Dataset
from datasets.services import dataset_by_slug
from exporter.choosing import settings_of
from exporter.models import ExportSettings
from exporter.schedules import schedule_words
from exporter.scheduling import schedule_of
from exporter.settings_service import own_settings, values_of
from exporter.slots import firings


class Command(TenantCommand):
    help = "Show the export settings that hold for each dataset, and for those without settings of their own."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", metavar="SLUG", help="only of this dataset")

    def run_in_tenant(self, **options: Any) -> Result:
        slug = options["dataset"]
        datasets = [dataset_by_slug(slug)] if slug else list(Dataset.objects.order_by("slug"))
        settings = settings_of(datasets)
        told = [told_settings(one, settings[one.pk]) for one in datasets]
        data: dict[str, Any] = {"datasets": told}
        if not slug:
            data["tenant"] = told_settings(None, own_settings(None) or ExportSettings())
            told = [data["tenant"], *told]
        return Result(data, [_line(one) for one in told])


def told_settings(dataset: Dataset | None, settings: ExportSettings) -> dict[str, Any]:
    """Return settings as JSON holds them, with their words and the next slot; `is_own`: not the tenant's."""
    values = values_of(settings)
    schedule = schedule_of(settings)
    slot = next(firings(schedule, after=now()), None)
    return {
        "dataset": dataset.slug if dataset else None,
        "is_own": settings.dataset_id is not None,
        **values,
        "destination": values["destination"] and values["destination"].name,
        "words": schedule_words(schedule),
        "next": slot and slot.isoformat(),
    }


def _line(told: dict[str, Any]) -> str:
    whose = "its own" if told["is_own"] else "the tenant's"
    name = told["dataset"] or "every other dataset"
    return f"{name}  {told['words']}  {told['format']}  {told['content']}  {whose}"
