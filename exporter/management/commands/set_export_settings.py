"""Set how a tenant's datasets are exported."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.command import NotAllowed, Result
from core.errors import RowhouseError
from datasets.models import Dataset
from datasets.services import dataset_by_slug
from exporter.choosing import settings_of
from exporter.management.commands.show_export_settings import told_settings
from exporter.models import Content, Destination, Every, ExportSettings, Format, Mode
from exporter.settings_rules import DEFAULTS
from exporter.settings_service import (
    change_export_settings,
    mark_of,
    own_settings,
    remove_export_settings,
    values_of,
)


class UnknownDestination(RowhouseError):
    """`--destination` names none of the tenant."""

    code = "unknown-destination"
    status = 404


class Command(TenantCommand):
    help = "Set the export settings of a dataset, or without one of every dataset that has none of its own."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", metavar="SLUG", help="this dataset's own settings")
        parser.add_argument("--every", choices=Every.values, help="how often")
        parser.add_argument("--cron", metavar="TIMES", help="with --every CRON, as '0 2 * * 1-5'")
        parser.add_argument("--time-zone", metavar="ZONE", help="of days, weeks and cron times")
        parser.add_argument("--format", choices=Format.values)
        parser.add_argument("--content", choices=Content.values)
        parser.add_argument(
            "--full-after", type=int, metavar="N", help="so many files of changes, then a full one"
        )
        parser.add_argument("--mode", choices=Mode.values)
        parser.add_argument(
            "--column", action="append", metavar="LABEL[=NEW]",
            help="repeat, in the file's order; '' alone: every column",
        )  # fmt: skip
        parser.add_argument("--delimiter", metavar="C")
        parser.add_argument("--null-word", metavar="WORD")
        parser.add_argument("--encoding", metavar="E")
        parser.add_argument("--pattern", metavar="P", help="of file names; '': the default")
        parser.add_argument("--destination", metavar="NAME", help="'': the platform's storage")
        parser.add_argument("--keep-days", type=int, metavar="N")
        parser.add_argument("--keep-count", type=int, metavar="N")
        parser.add_argument("--keep-bytes", type=int, metavar="N")
        parser.add_argument("--keep-daily", type=int, metavar="N")
        parser.add_argument("--keep-monthly", type=int, metavar="N")
        parser.add_argument("--remove", action="store_true", help="take the dataset's own settings away")
        parser.add_argument(
            "--as", dest="person", metavar="USER", help="act as this user; default: the platform"
        )

    def run_in_tenant(self, **options: Any) -> Result:
        dataset = dataset_by_slug(options["dataset"]) if options["dataset"] else None
        by = self.person(options["person"]) if options["person"] else None
        own = own_settings(dataset)
        if options["remove"]:
            if dataset is None:
                raise NotAllowed("--remove takes a dataset's own settings away; say which with --dataset.")
            remove_export_settings(dataset=dataset, seen=mark_of(own), by=by)
            settings = settings_of([dataset])[dataset.pk]
        else:
            settings = change_export_settings(
                dataset=dataset, values=_wanted(dataset, own, options), seen=mark_of(own), by=by
            )
        told = told_settings(dataset, settings)
        return Result(told, [f"{told['dataset'] or 'Every other dataset'} is exported {told['words']}."])


def _wanted(dataset: Dataset | None, own: ExportSettings | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that hold now with those given in their place."""
    now = own if own is not None or dataset is None else settings_of([dataset])[dataset.pk]
    given = {name: options[name] for name in DEFAULTS if options.get(name) is not None}
    if options["column"] is not None:
        given["columns"] = _columns(dataset, options["column"])
    if options["destination"] is not None:
        given["destination"] = _destination(options["destination"])
    if not given:
        raise NotAllowed("Say what to set, for instance --every DAY --format xlsx.")
    return {**values_of(now), **given}


def _columns(dataset: Dataset | None, asked: list[str]) -> list[dict[str, Any]]:
    if asked == [""]:
        return []
    if dataset is None:
        raise NotAllowed("--column chooses a dataset's columns; say which with --dataset.")
    by_label = {column.label: column.pk for column in dataset.spec().columns}
    chosen = []
    for one in asked:
        label, _, new = (one, "", "") if one in by_label else one.partition("=")
        if label not in by_label:
            raise NotAllowed(f"{dataset.slug} has no column {label!r}; it has {', '.join(by_label)}.")
        chosen.append({"column": by_label[label], "label": new})
    return chosen


def _destination(name: str) -> Destination | None:
    if not name:
        return None
    found = Destination.objects.filter(name=name).first()
    if found is None:
        raise UnknownDestination(f"There is no destination {name!r} here.")
    return found
