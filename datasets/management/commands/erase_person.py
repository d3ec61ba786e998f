"""Erase a person's values: in records and all their versions, in what imports and exports keep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser

import jobs.services
from accounts.command import TenantCommand
from core.command import FAILED, NotAllowed, Result
from core.words import count
from datasets import erasing
from datasets.erasing import Wanted
from datasets.erasure_models import Erasure, ErasureMode, ErasureState
from datasets.models import Column, Dataset
from datasets.services import dataset_by_slug


class Command(TenantCommand):
    help = "Show where a person's values stand and, with --confirm, erase them; what stays is a proof without them."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--values",
            metavar="FILE",
            help="the values to look for, one to a line; - reads standard input (arguments stay in histories)",
        )
        parser.add_argument("--dataset", action="append", default=[], metavar="SLUG", help="by default all")
        parser.add_argument(
            "--find", action="append", default=[], metavar="LABEL", help="look here; by default everywhere"
        )
        parser.add_argument(
            "--also", action="append", default=[], metavar="LABEL", help="empty this of found records too"
        )
        parser.add_argument(
            "--delete", action="store_true", help="delete the records found, rather than empty columns"
        )
        parser.add_argument("--note", default="", help="why, without the values: it stays in the proof")
        parser.add_argument("--repeat", metavar="UID", help="do this erasure again, which a restore undid")
        parser.add_argument("--confirm", action="store_true", help="erase, rather than show")
        parser.add_argument("--check", action="store_true", help="only say which erasures these values had")

    def run_in_tenant(self, **options: Any) -> Result:
        if not options["values"]:
            return _list()
        values = _values(options["values"])
        if options["check"]:
            return _check(values)
        if options["repeat"]:
            try:
                uid = UUID(options["repeat"])
            except ValueError:
                raise NotAllowed("--repeat takes the uid of an erasure, as the restore printed it.") from None
            erasure = erasing.repeat_erasure(uid=uid, values=values, by=None)
        else:
            mode = ErasureMode.DELETE if options["delete"] else ErasureMode.EMPTY
            erasure = erasing.request_erasure(
                values=values, wanted=_wanted(options), mode=mode, by=None, note=options["note"]
            )
        return _through(erasure, is_real=options["confirm"])


def _values(source: str) -> list[str]:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise NotAllowed(f"{source!r} cannot be read: {error.strerror}.") from error
    return text.splitlines()


def _wanted(options: dict[str, Any]) -> list[Wanted]:
    slugs: list[str] = options["dataset"]
    datasets = [dataset_by_slug(slug) for slug in slugs] if slugs else list(Dataset.objects.all())
    if not options["find"]:
        if options["also"] or not (options["delete"] or slugs):
            raise NotAllowed("Say with --find where to look, or --delete the records found anywhere.")
        return [Wanted(one, list(one.columns.order_by("position", "pk"))) for one in datasets]
    wanted = [Wanted(one, _columns(one, options["find"]), _columns(one, options["also"])) for one in datasets]
    known = {column.label for one in wanted for column in (*one.find, *one.also)}
    if unknown := [label for label in (*options["find"], *options["also"]) if label not in known]:
        raise NotAllowed(f"No column here is called {unknown[0]!r}.")
    return wanted


def _columns(dataset: Dataset, labels: list[str]) -> list[Column]:
    return list(dataset.columns.filter(label__in=labels).order_by("position", "pk"))


def _through(erasure: Erasure, *, is_real: bool) -> Result:
    _run(erasure)
    if erasure.state == ErasureState.PREVIEW_SUCCEEDED:
        if not is_real:
            lines = _lines("would be erased", erasure.found, {})
            erasing.cancel_erasure(erasure=erasure, by=None)
            return Result(_data(erasure), [*lines, "Nothing was changed. Add --confirm to erase."])
        erasing.confirm_erasure(erasure=erasure, by=None, typed=erasure.first_title)
        _run(erasure)
    if erasure.state != ErasureState.ERASURE_SUCCEEDED:
        return Result(_data(erasure), [f"Erasure {erasure.pk} was not finished: {erasure.error}"], FAILED)
    lines = _lines("erased", erasure.done, erasure.left)
    return Result(_data(erasure), [*lines, f"Proof: erasure {erasure.pk}, {erasure.uid}."])


def _run(erasure: Erasure) -> None:
    assert erasure.job_id is not None
    jobs.services.run_until_done(erasure.job_id)
    erasure.refresh_from_db()


def _lines(verb: str, counts: dict[str, int], left: dict[str, int]) -> list[str]:
    lines = [f"{place}: {number:,} {verb}" for place, number in counts.items() if number]
    lines += [f"stays: {words} ({number:,})" for words, number in left.items()]
    return lines or [f"Nothing is {verb}: the values stand nowhere here."]


def _data(erasure: Erasure) -> dict[str, Any]:
    return {
        "erasure": erasure.pk,
        "uid": erasure.uid,
        "state": erasure.state,
        "mode": erasure.mode,
        "found": erasure.found,
        "done": erasure.done,
        "left": erasure.left,
    }


def _check(values: list[str]) -> Result:
    found = {one.pk: one for value in values if value.strip() for one in erasing.erasures_of(value)}
    lines = [
        f"erasure {one.pk} of {one.created_at:%Y-%m-%d}: {one.get_state_display()}" for one in found.values()
    ]
    return Result({"erasures": sorted(found)}, lines or ["None of these values was erased here."])


def _list() -> Result:
    done = Erasure.objects.order_by("pk")
    pending = erasing.to_repeat()
    lines = [
        f"erasure {one.pk} of {one.created_at:%Y-%m-%d}: {one.get_state_display()},"
        f" {count(one.done.get('records', one.found.get('records', 0)), 'record')}"
        for one in done
    ]
    lines += [
        f"to be repeated after a restore: erasure {one.number} of {one.at}, {one.uid}" for one in pending
    ]
    return Result(
        {"erasures": [_data(one) for one in done], "to_repeat": [str(one.uid) for one in pending]},
        lines or ["Nothing was erased here. Give --values to look for a person's."],
    )
