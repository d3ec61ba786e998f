"""The first page of each admin site."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from django.db.models import Count, Max, Q, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.timesince import timesince

import exporter.services
from accounts.models import User
from core.clock import now
from core.quotas import uses
from core.tenancy import current_tenant, in_public
from datasets.access import datasets_for, may
from datasets.models import Column, Dataset
from datasets.stats import count_label, record_counts
from exporter.models import ExportFile
from importer.addresses import address
from importer.models import ImportJob, State
from importer.targets.rights import targets_for
from importer.words import name_of
from jobs.models import ACTIVE, Job
from jobs.pages.figures import totals
from jobs.pages.filters import failed_lately
from jobs.pages.shares import LATE
from jobs.pages.shown import duration
from rowhouse.review.pages import reminder
from tenants.entering import entries_of
from tenants.models import Domain, Tenant

SHOWN = 8


def tenant_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what a tenant's person sees first: only of datasets and plain models they may see."""
    datasets = list(datasets_for(request.user).order_by("title"))
    targets = targets_for(request.user)
    imports = ImportJob.objects.filter(Q(dataset__in=datasets) | Q(dataset=None, target__in=targets))
    exports = ExportFile.objects.filter(dataset__in=datasets, deleted_at=None)
    last_imports = dict(
        imports.filter(state=State.IMPORT_SUCCEEDED).values_list("dataset").annotate(Max("ended_at"))
    )
    last_exports = dict(exports.values_list("dataset").annotate(Max("created_at")))
    counts = record_counts([_table(one) for one in datasets])
    shown = datasets[: SHOWN * 2]
    labels = dict(
        Column.objects.filter(pk__in={pk for one in shown for pk in one.key}).values_list("pk", "label")
    )
    newest = exports.order_by("-created_at").first()
    stored = sum(one.aggregate(all=Sum("bytes"))["all"] or 0 for one in (imports, exports))
    context |= {
        "figures": {
            "datasets": len(datasets),
            "records": _sum(counts),
            "open_imports": imports.filter(state__in=_open_states()).count(),
            "waiting": imports.filter(state=State.PREVIEW_SUCCEEDED).count(),
            "last_export": _ago(newest.created_at) if newest else "never",
            "last_export_note": "by its schedule" if newest else "the next run makes the first",
            "export_trouble": _trouble(request),
            "storage": stored,
            "storage_note": "uploads and exports",
        },
        "limits": uses(),
        **_standing(request),
        "review_due": reminder(request.user),
        "entries_lately": _entries_lately(request),
        "datasets": [
            {
                "title": one.title,
                "url": reverse(f"admin:datasets_ds{one.pk}_changelist"),
                "key": ", ".join(labels[pk] for pk in one.key),
                "records": _label(counts[_table(one)]),
                "last_import": _ago(last_imports.get(one.pk)),
                "last_export": _ago(last_exports.get(one.pk)),
                "import_url": _import_url(request, one),
            }
            for one in shown
        ],
        "imports": [
            _import(one) for one in imports.select_related("dataset", "undoes").order_by("-pk")[:SHOWN]
        ],
        "exports": [_export(one) for one in exports.select_related("dataset").order_by("-pk")[:SHOWN]],
        "new_dataset_url": reverse("admin:datasets_dataset_add")
        if request.user.has_perm("datasets.add_dataset")
        else "",
    }
    return context


def _standing(request: HttpRequest) -> dict[str, Any]:
    """Return that an operator is inside, or that nothing can be changed."""
    route = request.tenant  # type: ignore[attr-defined] # set by the middleware
    is_inside = route.operator_until is not None and route.operator_until > now()
    reason = f": {route.read_only_reason.rstrip('.')}" if route.read_only_reason else ""
    words = f"{route.name} is read-only for now{reason}. You can look and download; nothing can be changed."
    return {
        "operator_until": route.operator_until if is_inside else None,
        "read_only": words if route.is_read_only else "",
    }


def _entries_lately(request: HttpRequest) -> int:
    """Return how many operators came in during the last week, for owners."""
    if not cast("User", request.user).has_perm("accounts.change_user"):
        return 0
    schema = current_tenant().schema
    with in_public():
        return entries_of(schema).filter(entered_at__gt=now() - timedelta(days=7)).count()


def _trouble(request: HttpRequest) -> str:
    """Return what went wrong with scheduled exports in the last day, for those who may see runs."""
    if not exporter.services.may_see_exports(cast("User", request.user)):
        return ""
    trouble = exporter.services.trouble_since(now() - timedelta(days=1))
    counts = ((trouble.failed, "failed"), (trouble.missed, "missed"))
    return ", ".join(f"{count:,} {word}" for count, word in counts if count)


def _table(dataset: Dataset) -> str:
    return f"ds_{dataset.pk}"


def _label(count: tuple[int, bool]) -> str:
    return count_label(count[0], is_exact=count[1])


def _sum(counts: dict[str, tuple[int, bool]]) -> str:
    total = sum(count for count, _ in counts.values())
    return count_label(total, is_exact=all(is_exact for _, is_exact in counts.values()))


def _open_states() -> list[State]:
    return [State.CREATED, State.PREVIEW_IN_PROGRESS, State.PREVIEW_SUCCEEDED, State.IMPORT_IN_PROGRESS]


def _ago(at: datetime | None) -> str:
    if at is None:
        return ""
    return "just now" if now() - at < timedelta(minutes=1) else f"{timesince(at, depth=1)} ago"


def _import_url(request: HttpRequest, dataset: Dataset) -> str:
    if not may(request.user, "import", dataset):
        return ""
    return f"{reverse('admin:importer_importjob_upload')}?dataset={dataset.pk}"


def _import(job: ImportJob) -> dict[str, Any]:
    return {
        "file_name": name_of(job),
        "dataset": job.target_title,
        "state": job.get_state_display(),
        "created": f"{job.created_rows:,}",
        "updated": f"{job.updated_rows:,}",
        "rejected": f"{job.rejected_rows:,}",
        "when": _ago(job.created_at),
        "url": address(job),
    }


def _export(file: ExportFile) -> dict[str, Any]:
    return {
        "name": file.key.rpartition("/")[2],
        "dataset": file.dataset.title if file.dataset else "",
        "rows": f"{file.rows:,}",
        "bytes": file.bytes,
        "when": _ago(file.created_at),
        "url": reverse("admin:exporter_exportfile_changelist"),
    }


def operator_dashboard(_request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what an operator sees first: tenants and the queue."""
    tenants = list(Tenant.objects.exclude(state=Tenant.State.DELETED).order_by("name"))
    waiting = _jobs_by_schema(Q(state__in=ACTIVE))
    failed = _jobs_by_schema(failed_lately())
    domains = dict(Domain.objects.filter(is_primary=True).values_list("tenant_id", "domain"))
    context |= {
        "figures": [{"label": "Tenants", "value": len(tenants), "note": _states(tenants)}, *_work_figures()],
        "tenants": [
            {
                "name": one.name,
                "state": _state(one),
                "domain": domains.get(one.pk, "-"),
                "waiting": waiting.get(one.schema_name, 0),
                "failed": failed.get(one.schema_name, 0),
                "url": reverse("operator:tenants_tenant_change", args=[one.pk]),
                "jobs_url": f"{reverse('operator:jobs_job_changelist')}?{urlencode({'tenant': one.slug})}",
            }
            for one in tenants
        ],
    }
    return context


def _state(tenant: Tenant) -> str:
    shown = str(tenant.get_state_display())
    if tenant.state == Tenant.State.SUSPENDED:
        return f"{shown}, not exported since {tenant.state_at:%Y-%m-%d %H:%M} UTC"
    return shown


def _work_figures() -> list[dict[str, Any]]:
    work = totals()
    jobs, shares = reverse("operator:jobs_job_changelist"), reverse("operator:jobs_tenantshare_changelist")
    oldest = now() - work["oldest_at"] if work["oldest_at"] else None
    is_late = oldest is not None and oldest > LATE
    paused = f"{work['paused']} paused tenants" if work["paused"] != 1 else "1 paused tenant"
    return [
        {
            "label": "Jobs running and queued",
            "value": f"{work['running']} / {work['queued']}",
            "note": "all tenants",
            "url": f"{jobs}?state=active",
        },
        {
            "label": "Jobs failed",
            "value": work["failed"],
            "note": "in the last 24 hours",
            "url": f"{jobs}?state=failed-lately",
            "is_bad": bool(work["failed"]),
        },
        {
            "label": "Oldest waiting job",
            "value": duration(oldest.total_seconds()) if oldest else "none",
            "note": "waits longer than 5 minutes: check the workers" if is_late else paused,
            "url": shares,
            "is_bad": is_late,
        },
    ]


def _jobs_by_schema(which: Q) -> dict[str, int]:
    counted = Job.objects.filter(which).values_list("schema").annotate(Count("pk")).order_by()
    return dict(counted)


def _states(tenants: list[Tenant]) -> str:
    active = sum(one.state == Tenant.State.ACTIVE for one in tenants)
    return f"{active} active"
