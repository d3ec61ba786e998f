"""Where the pages of an import are: at those of its target's own admin, if it has one, else among all imports."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from accounts.sites import tenant_site
from importer.models import ImportJob
from importer.targets.proxies import PROXIES


def address(job: ImportJob, page: str = "change") -> str:
    """Return the address of a page of an import."""
    return reverse(f"admin:{names(job.target)}_{page}", args=[job.pk])


def upload_address(job: ImportJob) -> str:
    """Return where another file for the same place is uploaded."""
    if job.target:
        return reverse(f"admin:{names(job.target)}_upload")
    return reverse(f"admin:{names('')}_upload") + f"?dataset={job.dataset_id}"


def names(target: str) -> str:
    """Return what the names of the pages of a target's imports begin with; "" is for all imports."""
    proxy = PROXIES[target] if has_pages(target) else ImportJob
    return f"{proxy._meta.app_label}_{proxy._meta.model_name}"


def has_pages(target: str) -> bool:
    """Return whether a target's imports have pages of their own."""
    return target in PROXIES and tenant_site.is_registered(PROXIES[target])


def records_address(target: str) -> str:
    """Return the list of a plain model's records; empty where nobody registered an admin for them."""
    model = _registered(target)
    return reverse(f"admin:{model.app_label}_{model.model_name}_changelist") if model else ""


def record_address(target: str, pk: str) -> str:
    """Return the page of a plain model's record; empty where nobody registered an admin for it."""
    model = _registered(target)
    return reverse(f"admin:{model.app_label}_{model.model_name}_change", args=[pk]) if model else ""


def _registered(target: str) -> Any:
    proxy = PROXIES.get(target)
    if proxy is None or not tenant_site.is_registered(proxy.target_model):
        return None
    return proxy.target_model._meta
