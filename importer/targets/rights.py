"""Who may import into a plain model: by Django's own rights to add and change its records."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied

from importer.models import ImportJob
from importer.targets.proxies import PROXIES


def may(user: Any, right: str, proxy: Any) -> bool:
    """Return whether a user may "view", "add" or "change" the records of a proxy's model."""
    meta = proxy.target_model._meta
    return bool(user.is_active and user.has_perm(f"{meta.app_label}.{get_permission_codename(right, meta)}"))


def rights_of(user: Any, proxy: Any) -> frozenset[str]:
    """Return the rights a user has in a proxy's model, in the words of datasets.

    Who may change records may view them, as Django's own admin has it; who may add or change them may import.
    """
    found = {right for right in ("view", "add", "change") if may(user, right, proxy)}
    if found & {"add", "change"}:
        found.add("import")
    if "change" in found:
        found.add("view")
    return frozenset(found)


def may_import(user: Any, proxy: Any) -> bool:
    """Return whether a user may upload files for a proxy's model."""
    return user is None or may(user, "add", proxy) or may(user, "change", proxy)


def require_import(user: Any, proxy: Any) -> None:
    """Let a person go on who may import.

    :raises PermissionDenied: they may not.
    """
    if not may_import(user, proxy):
        raise PermissionDenied(f"You may not import {proxy.target_model._meta.verbose_name_plural}.")


def missing_right(user: Any, job: ImportJob) -> str | None:
    """Return the right a person lacks to carry out the job's plan, or None."""
    proxy = PROXIES.get(job.target)
    if proxy is None:
        return "import"
    wanted = [right for right, rows in (("add", job.created_rows), ("change", job.updated_rows)) if rows]
    if not may_import(user, proxy):
        return "import"
    return next((right for right in wanted if not may(user, right, proxy)), None)


def targets_for(user: Any) -> list[str]:
    """Return the targets whose imports a person may see."""
    return [
        label
        for label, proxy in PROXIES.items()
        if any(may(user, right, proxy) for right in ("view", "add", "change"))
    ]
