"""Change a column's type or rules, or the key, here and now, through the same services as the pages."""

from __future__ import annotations

import json
from time import monotonic
from typing import Any

from django.core.management.base import CommandParser

import jobs.services
from accounts.command import TenantCommand
from core.command import DONE, FAILED, REFUSED, WITH_REJECTS, NotAllowed, Result
from core.errors import RowhouseError
from datasets import changing
from datasets.change_models import Change, ChangeState, OnFailure
from datasets.change_words import outcome, what
from datasets.models import Column, Dataset, options_of
from datasets.services import InvalidDefinition, dataset_by_slug
from datasets.spec import ColumnOptions
from jobs.foreground import progress_shown

SHOWN_RECORDS = 100


class UnknownColumn(RowhouseError):
    """No column of the dataset has this label."""

    code = "unknown-column"
    status = 404


class UnknownChange(RowhouseError):
    """No change of the tenant has this number."""

    code = "unknown-change"
    status = 404


class Command(TenantCommand):
    help = "Change a column's type or rules, or a dataset's key: check every record, then make the change."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", metavar="SLUG")
        parser.add_argument("--column", metavar="LABEL", help="the column that is to be another")
        parser.add_argument("--type", metavar="TYPE")
        parser.add_argument("--required", choices=("yes", "no"))
        parser.add_argument("--unique", choices=("yes", "no"))
        parser.add_argument(
            "--options", metavar="JSON", help='all options of the new definition, as {"max_length": 20}'
        )
        parser.add_argument("--key", action="append", metavar="LABEL", help="a column of the new key")
        parser.add_argument("--no-key", action="store_true", help="the dataset is to have no key")
        parser.add_argument(
            "--revert", type=int, metavar="CHANGE", help="the number of a change to take back"
        )
        parser.add_argument("--dry-run", action="store_true", help="stop after the check")
        parser.add_argument(
            "--on-failure",
            choices=OnFailure.values,
            default=OnFailure.STOP,
            help="what becomes of records that fail",
        )
        parser.add_argument("--as", dest="user", metavar="USER", help="whose e-mail address history names")

    def run_in_tenant(self, **options: Any) -> Result:
        started = monotonic()
        user = self.person(options["user"])
        change = _worked(_asked(options, user))
        refusal = None
        if change.state == ChangeState.CHECK_SUCCEEDED and not options["dry_run"]:
            try:
                changing.confirm_change(change=change, on_failure=options["on_failure"], by=user)
                _worked(change)
            except changing.NotChangeable as error:
                refusal = (error.code, error.message)
        if said := refusal or (change.error and (change.error_code, change.error)):
            self.stderr.write(f"error[{said[0]}]: {said[1]}")
        return Result(
            _summary(change, monotonic() - started),
            _lines(change),
            _exit_code(change, refusal, options["dry_run"]),
        )


def _asked(options: dict[str, Any], user: Any) -> Change:
    if options["revert"] is not None:
        change = Change.objects.filter(pk=options["revert"]).first()
        if change is None:
            raise UnknownChange(f"There is no change {options['revert']} here.")
        return changing.revert_change(change=change, by=user)
    dataset = dataset_by_slug(options["dataset"] or "")
    is_key = bool(options["key"]) or options["no_key"]
    if is_key == bool(options["column"]):
        raise NotAllowed("Say either --column LABEL, or --key LABEL (or --no-key), or --revert CHANGE.")
    if is_key:
        return changing.propose_key(dataset=dataset, key=options["key"] or [], by=user)
    return changing.propose_change(
        dataset=dataset,
        column=_column(dataset, options["column"]),
        type=options["type"],
        is_required=_flag(options["required"]),
        is_unique=_flag(options["unique"]),
        options=_options(options["options"]),
        by=user,
    )


def _column(dataset: Dataset, label: str) -> Column:
    found = dataset.columns.in_use().filter(label=label).first()
    if found is None:
        known = ", ".join(dataset.columns.in_use().values_list("label", flat=True)[:20])
        raise UnknownColumn(f"“{dataset.title}” has no column “{label}”. Its columns: {known}.")
    return found


def _flag(word: str | None) -> bool | None:
    return None if word is None else word == "yes"


def _options(text: str | None) -> ColumnOptions | None:
    if text is None:
        return None
    try:
        return options_of(json.loads(text))
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidDefinition(f"--options is not what a column's options are: {error}") from error


def _worked(change: Change) -> Change:
    """Run the background work it waits for to its end, with progress for a person who watches."""
    change.refresh_from_db()
    with progress_shown() as tell:
        jobs.services.run_until_done(int(change.job_id), on_progress=tell)
    change.refresh_from_db()
    return change


def _summary(change: Change, seconds: float) -> dict[str, Any]:
    failing = change.failing_records.order_by("pk").values("record_id", "name", "value", "code", "rule")
    return {
        "change": change.pk,
        "state": change.state,
        "records": change.records,
        "rewritten": change.rewritten,
        "failing": change.failing,
        "edited": change.edited,
        "samples": change.samples,
        "failing_records": list(failing[:SHOWN_RECORDS]),
        "seconds": round(seconds, 3),
    }


def _lines(change: Change) -> list[str]:
    shown = change.failing_records.order_by("pk")[:SHOWN_RECORDS]
    return [
        f"{str(change).capitalize()}, {what(change)}: {change.get_state_display()}. {outcome(change)}",
        f"{change.records:,} records, {change.rewritten:,} rewritten, {change.failing:,} failing",
        *(
            f"  {one.name}: {'no value' if one.value is None else one.value[:60]!r}: {one.rule}"
            for one in shown
        ),
    ]


def _exit_code(change: Change, refusal: tuple[str, str] | None, is_dry: bool) -> int:
    if refusal is not None:
        return REFUSED
    wanted = ChangeState.CHECK_SUCCEEDED if is_dry else ChangeState.CHANGE_SUCCEEDED
    if change.state != wanted:
        return FAILED
    return WITH_REJECTS if change.failing else DONE
