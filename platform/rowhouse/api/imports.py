"""Imports: upload a file, look at its preview, confirm the very preview that was looked at, cancel, undo."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tokens.models import Scope
from core import paces
from core.errors import RowhouseError
from datasets.access import visible_columns
from importer import rights, services
from importer.changes import Change, changing_columns, page_of_changes
from importer.confirming import why_not_confirmable
from importer.dialect import DELIMITERS
from importer.encodings import ENCODINGS
from importer.models import ImportIssue, ImportJob, Mode, Policy, Severity, State
from importer.rules import rules_of
from importer.undo import undo_import
from rowhouse.api import told
from rowhouse.api.authentication import Caller
from rowhouse.api.base import ApiView, PageAsked, asked, newest_first, number_or_404, page
from rowhouse.api.datasets import KINDS, dataset_or_404

OPS = {word: sign for sign, word in KINDS.items()}
MOST_KEY = 200


class PreviewStale(RowhouseError):
    """A confirmation names another preview than the import has now."""

    code = "stale-preview"


class ContentsKept(RowhouseError):
    """A column is hidden from the person, and the file of somebody else may hold it."""

    code = "contents-kept"
    status = 403


class BadMappingText(RowhouseError):
    """A mapping begins like JSON and is none."""

    code = "bad-mapping"
    status = 422


class ImportsAsked(PageAsked):
    """Which imports."""

    dataset = serializers.SlugField(required=False, max_length=63)
    state = serializers.ChoiceField(choices=State.choices, required=False)


class Upload(serializers.Serializer[Any]):
    """A file and what it may do."""

    dataset = serializers.SlugField(max_length=63)
    file = serializers.FileField(help_text="CSV or XLSX.")
    mode = serializers.ChoiceField(choices=Mode.choices, default=Mode.UPSERT)
    policy = serializers.ChoiceField(
        choices=Policy.choices, required=False, help_text="Without: what the dataset's import rules say."
    )
    replace = serializers.BooleanField(
        default=False, help_text="Cancel the dataset's other imports that nobody confirmed yet."
    )
    mapping = serializers.CharField(
        required=False, max_length=100_000,
        help_text="The name of a saved mapping, or JSON: label of the file to label of the column, null to skip it.",
    )  # fmt: skip
    encoding = serializers.ChoiceField(choices=list(ENCODINGS), required=False)
    delimiter = serializers.ChoiceField(choices=list(DELIMITERS), required=False)
    sheet = serializers.CharField(required=False, max_length=100)
    header_row = serializers.IntegerField(required=False, min_value=0, max_value=10_000)


class Confirmation(serializers.Serializer[Any]):
    """Which preview was looked at, and what it was agreed to."""

    preview = serializers.CharField(max_length=100, help_text="The import's `preview`, as it was looked at.")
    policy = serializers.ChoiceField(choices=Policy.choices, required=False)
    deletes = serializers.IntegerField(
        required=False, min_value=0, max_value=2**62,
        help_text="How many records may be deleted, where the plan deletes any; 0: none is.",
    )  # fmt: skip


class IssuesAsked(PageAsked):
    """Which issues, in the order of the rows."""

    code = serializers.CharField(required=False, max_length=40)
    column = serializers.CharField(required=False, max_length=255, trim_whitespace=False)
    severity = serializers.ChoiceField(choices=Severity.choices, required=False)


class ChangesAsked(PageAsked):
    """Which changes; a `place` is where one stands."""

    after = serializers.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
    kind = serializers.ChoiceField(choices=list(OPS), required=False)
    column = serializers.CharField(required=False, max_length=30, help_text="As `c7`: where it changes.")


def imports_of(caller: Caller) -> QuerySet[ImportJob]:
    """Return the imports a token may be told of: those its person sees, into the token's datasets."""
    return rights.jobs_for(caller.user).filter(caller.narrowed(), dataset__isnull=False)


def import_or_404(caller: Caller, pk: int) -> ImportJob:
    """Return an import.

    :raises Http404: there is none of this number for this token.
    """
    job = imports_of(caller).filter(pk=number_or_404(pk)).first()
    if job is None:
        raise Http404
    return job


@extend_schema(tags=["Imports"])
class Imports(ApiView):
    """The imports, and a new one."""

    scopes = (Scope.IMPORT,)

    def get_parsers(self) -> list[Any]:
        return [MultiPartParser()]

    @extend_schema(operation_id="list_imports", parameters=[ImportsAsked], responses=told.ImportPage)
    def get(self, request: Request) -> Response:
        """List imports, the newest first."""
        caller, wanted = self.caller(request), asked(request, ImportsAsked)
        found = imports_of(caller)
        if slug := wanted.get("dataset"):
            found = found.filter(dataset__slug=slug)
        if state := wanted.get("state"):
            found = found.filter(state=state)
        kept = _keeper(caller)
        return page(
            request, newest_first(found, wanted), wanted["n"], partial(_listed, kept), lambda one: one.pk
        )

    @extend_schema(
        operation_id="create_import",
        request={"multipart/form-data": Upload},
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="A text of your own. Sent again with the same file, it leads to the first one's import.",
            )  # fmt: skip
        ],
        responses={201: told.ImportTold},
    )
    def post(self, request: Request) -> Response:
        """Upload a file; its preview is made in the background. Nothing is written to the dataset."""
        caller = self.caller(request)
        paces.require("upload", by=caller.user)  # as the page's form, before the body is read
        form = Upload(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        if len(request.FILES.getlist("file")) > 1:
            raise serializers.ValidationError({"file": ["Two files were sent. Send one, then the other."]})
        dataset = dataset_or_404(caller.datasets(), data["dataset"])  # who may not import is told so
        overrides = {name: data.get(name) for name in ("encoding", "delimiter", "sheet", "header_row")}
        job = services.create_import(
            dataset=dataset, file=data["file"], name=data["file"].name, by=caller.user, mode=data["mode"],
            policy=data.get("policy") or rules_of(dataset).policy, overrides=overrides,
            columns=_mapping(data.get("mapping")), replace=data["replace"],
            request_key=_request_key(caller, request.headers.get("Idempotency-Key", "")),
        )  # fmt: skip
        return Response(_told(caller, job.pk), status=201)


def _mapping(text: str | None) -> dict[str, Any] | str | None:
    """Return a mapping as people write it, or the name of a saved one.

    :raises BadMappingText: it is meant as JSON and is none.
    """
    if text is None or not text.lstrip().startswith("{"):
        return text
    try:
        return dict(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise BadMappingText(f"The mapping is no JSON: {error}.") from error


def _request_key(caller: Caller, key: str) -> str | None:
    """Return what a repeated upload is known by: nobody finds the import of another by a key he has guessed."""
    if not key:
        return None
    return hashlib.sha256(f"api\0{caller.user.pk}\0{key[:MOST_KEY]}".encode()).hexdigest()


@extend_schema(tags=["Imports"])
class OneImport(ApiView):
    """An import."""

    scopes = (Scope.IMPORT,)

    @extend_schema(operation_id="get_import", responses=told.ImportTold)
    def get(self, request: Request, pk: int) -> Response:
        """Show how an import stands: its state, its figures, and the fingerprint of its preview."""
        return Response(_told(self.caller(request), pk))


@extend_schema(tags=["Imports"])
class Confirm(ApiView):
    """Merges what was previewed."""

    scopes = (Scope.IMPORT,)

    @extend_schema(operation_id="confirm_import", request=Confirmation, responses={202: told.ImportTold})
    def post(self, request: Request, pk: int) -> Response:
        """Start the merge of the preview that was looked at, and of no other: 409 if it was made anew since."""
        caller = self.caller(request)
        paces.require("confirm", by=caller.user)
        form = Confirmation(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        job = import_or_404(caller, pk)
        if job.state == State.PREVIEW_SUCCEEDED and data["preview"] != fingerprint(job):
            raise PreviewStale("The preview was made again since. Look at it, then confirm.")
        # `seen` is compared once more under the lock: a preview made meanwhile is not confirmed by this.
        services.confirm_import(
            job=job, by=caller.user, policy=data.get("policy"), seen=job.previews, deletes=data.get("deletes")
        )
        return Response(_told(caller, pk), status=202)


@extend_schema(tags=["Imports"])
class Cancel(ApiView):
    """Gives an import up."""

    scopes = (Scope.IMPORT,)

    @extend_schema(operation_id="cancel_import", request=None, responses={202: told.ImportTold})
    def post(self, request: Request, pk: int) -> Response:
        """Cancel an import that is not over; one that is merging ends when that can still be left."""
        caller = self.caller(request)
        services.cancel_import(job=import_or_404(caller, pk), by=caller.user)
        return Response(_told(caller, pk), status=202)


@extend_schema(tags=["Imports"])
class Undo(ApiView):
    """Takes an import back."""

    scopes = (Scope.IMPORT,)

    @extend_schema(operation_id="undo_import", request=None, responses={201: told.ImportTold})
    def post(self, request: Request, pk: int) -> Response:
        """Ask for the preview of an undo, which is an import of its own, to be looked at and confirmed."""
        caller = self.caller(request)
        paces.require("undo", by=caller.user)
        made = undo_import(job=import_or_404(caller, pk), by=caller.user)
        return Response(_told(caller, made.pk), status=201)


@extend_schema(tags=["Imports"])
class Issues(ApiView):
    """What is wrong with the file's rows."""

    scopes = (Scope.IMPORT,)

    @extend_schema(operation_id="list_issues", parameters=[IssuesAsked], responses=told.IssuePage)
    def get(self, request: Request, pk: int) -> Response:
        """List issues in the order of the rows."""
        caller, wanted = self.caller(request), asked(request, IssuesAsked)
        job = import_or_404(caller, pk)
        _require_contents(caller, job)
        mine = ImportIssue.objects.filter(job=job)
        conditions = {name: wanted[name] for name in ("code", "column", "severity") if name in wanted}
        found = mine.filter(**conditions)
        if "after" in wanted and (last := mine.filter(pk=wanted["after"]).first()):
            found = found.filter(row__gte=last.row).exclude(row=last.row, pk__lte=last.pk)
        rows = found.order_by("row", "pk")[: wanted["n"] + 1]
        return page(request, rows, wanted["n"], _issue, lambda one: one.pk)


@extend_schema(tags=["Imports"])
class Changes(ApiView):
    """What an import changes, cell by cell."""

    scopes = (Scope.IMPORT,)

    @extend_schema(operation_id="list_changes", parameters=[ChangesAsked], responses=told.ChangePage)
    def get(self, request: Request, pk: int) -> Response:
        """List what the preview would change, or the import changed. Needs the scope `read` too."""
        caller, wanted = self.caller(request), asked(request, ChangesAsked)
        caller.require(Scope.READ)
        job = import_or_404(caller, pk)
        _require_contents(caller, job)
        if "view" not in rights.rights_of(caller.user, job):
            raise PermissionDenied(f"You may not view records of {job.target_title}.")
        seen = {column.name for column in visible_columns(caller.user, job.dataset)}
        column = wanted.get("column", "")
        if column and column not in seen & {one.name for one in changing_columns(job)}:
            raise Http404
        found = page_of_changes(
            job, op=OPS.get(wanted.get("kind", ""), ""), after=wanted.get("after", 0), size=wanted["n"] + 1,
            column=column, seen=seen,
        )  # fmt: skip
        return page(request, found, wanted["n"], _change, lambda one: one.at)


def _require_contents(caller: Caller, job: ImportJob) -> None:
    if not rights.may_see_contents(caller.user, job):
        raise ContentsKept("The file of this import may hold columns that are hidden from you.")


# ---- what is told


def fingerprint(job: ImportJob) -> str:
    """Return what only this preview has: how often it was made, of what, and what it would do."""
    said = [
        job.pk, job.previews, job.sha256, job.mode, job.mapping, job.definition_version, job.snapshot,
        job.read_rows, job.staged_rows, job.created_rows, job.updated_rows, job.unchanged_rows, job.rejected_rows,
        job.deleted_rows, job.kept_rows,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def _told(caller: Caller, pk: int) -> dict[str, Any]:
    job = import_or_404(caller, pk)
    is_kept = not rights.may_see_contents(caller.user, job)
    waits = job.state == State.PREVIEW_SUCCEEDED
    why_not = why_not_confirmable(job, policy=job.policy, deletes=job.deleted_rows) if waits else None
    return {**_import(job, is_kept=is_kept), "why_not": why_not}


def _listed(kept: Any, job: ImportJob) -> dict[str, Any]:
    return {**_import(job, is_kept=kept(job)), "why_not": None}


def _keeper(caller: Caller) -> Any:
    """Return who says whether an import's contents are kept from the caller; a query for each dataset, not for each."""
    known: dict[int | None, bool] = {}

    def is_kept(job: ImportJob) -> bool:
        if job.created_by_id == caller.user.pk:
            return False
        if job.dataset_id not in known:
            known[job.dataset_id] = not rights.may_see_contents(caller.user, job)
        return known[job.dataset_id]

    return is_kept


def _import(job: ImportJob, *, is_kept: bool) -> dict[str, Any]:
    # The sentence of a failure, a notice and labels may name columns that are hidden from the person.
    message = str(job.get_state_display()) if is_kept else job.error
    return {
        "id": job.pk,
        "dataset": job.dataset.slug,
        "file_name": job.file_name,
        "bytes": job.bytes,
        "sha256": job.sha256,
        "state": job.state,
        "mode": job.mode,
        "policy": job.policy,
        "undoes": job.undoes_id,
        "job": int(job.current_job_id) if job.current_job_id.isdigit() else None,
        "figures": {
            "read": job.read_rows,
            "created": job.created_rows,
            "updated": job.updated_rows,
            "unchanged": job.unchanged_rows,
            "rejected": job.rejected_rows,
            "blank": job.blank_rows,
            "missing": job.missing_rows,
            "deleted": job.deleted_rows,
            "kept": job.kept_rows,
        },
        "issues": job.issue_counts,
        "warnings": job.warning_counts,
        "unmapped_labels": [] if is_kept else job.unmapped_labels,
        "notice": "" if is_kept else job.notice,
        "error": {"code": job.error_code, "message": message} if job.error_code else None,
        "preview": fingerprint(job) if job.state == State.PREVIEW_SUCCEEDED else None,
        "by": job.created_by.email if job.created_by else None,
        "created_at": job.created_at,
        "previewed_at": job.previewed_at,
        "confirmed_at": job.confirmed_at,
        "ended_at": job.ended_at,
    }


def _issue(issue: ImportIssue) -> dict[str, Any]:
    return {
        "id": issue.pk,
        "code": issue.code,
        "severity": issue.severity,
        "row": issue.row,
        "line": issue.line,
        "column": issue.column,
        "value": issue.value,
        "rule": issue.rule,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "place": change.at,
        "kind": KINDS[change.op],
        "key": change.key,
        "record": change.record_id,
        "row": change.row,
        "changes": [{"label": one.label, "old": one.old, "new": one.new} for one in change.cells],
    }
