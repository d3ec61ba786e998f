"""The sidebars: of a tenant, with the datasets its person may see; of operators."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import conditional_escape

from core.clock import now
from datasets.access import datasets_for
from importer.addresses import has_pages, names, records_address
from importer.targets.proxies import PROXIES, title_of
from importer.targets.rights import rights_of, targets_for

# A sidebar of hundreds helps nobody: the rest is one click away, in the list with its search.
MOST_DATASETS = 30


def tenant_title(request: HttpRequest) -> str:
    """Return the tenant's name, so that nobody works in the wrong one."""
    tenant = getattr(request, "tenant", None)
    return tenant.name if tenant is not None else "Rowhouse"


def tenant_banner(request: HttpRequest) -> list[str] | None:
    """Return what stands at the head of every page while an operator is inside or nothing can be changed."""
    tenant = getattr(request, "tenant", None)
    if tenant is None:
        return None
    if tenant.operator_until is not None and tenant.operator_until > now():
        return [f"Operator inside until {tenant.operator_until:%H:%M} UTC", "warning"]
    return ["Read-only", "info"] if tenant.is_read_only else None


def tenant_sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of the tenant's sidebar."""
    user = request.user
    datasets = datasets_for(user).order_by("title")[:MOST_DATASETS]
    groups: list[dict[str, Any]] = [
        {
            "items": [
                _item("Dashboard", "dashboard", "admin:index"),
                _item("Datasets", "table_view", "admin:datasets_dataset_changelist"),
                _item("Imports", "upload_file", "admin:importer_importjob_changelist"),
                {
                    **_item("Exports", "download", "admin:exporter_exportfile_changelist"),
                    "pages": reverse("admin:app_list", args=["exporter"]),
                },
                _item("Background work", "work_history", "admin:jobs_job_changelist"),
                _item("API tokens", "vpn_key", "admin:tokens_apitoken_changelist"),
            ]
        }
    ]
    if datasets:
        groups.append(
            {
                "title": "Records",
                "separator": True,
                "items": [
                    _item(
                        conditional_escape(one.title), "table_rows", f"admin:datasets_ds{one.pk}_changelist"
                    )
                    for one in datasets
                ],
            }
        )
    if plain := _plain_models(user):
        groups.append({"title": "Other records", "separator": True, "items": plain})
    if people := _administration(user):
        groups.append({"title": "Administration", "separator": True, "items": people})
    _mark(groups, request.path)
    return groups


def _administration(user: Any) -> list[dict[str, Any]]:
    people = []
    if user.has_perm("accounts.view_user"):
        people += [
            _item("Users", "person", "admin:accounts_user_changelist"),
            _item("Roles", "group", "admin:auth_group_changelist"),
        ]
    if user.has_perm("accounts.change_user"):
        people.append(_item("Review of access", "fact_check", "admin:rowhouse_review"))
        people.append(_item("Second factor", "passkey", "admin:accounts_factor_roles"))
        people.append(_item("Operators who entered", "shield_person", "admin:tenants_entries"))
    if user.has_perm("accounts.view_signinprovider"):
        people.append(_item("Sign-in provider", "login", "admin:accounts_signinprovider_changelist"))
    if user.has_perm("datasets.change_dataset"):
        people.append(_item("Rights", "key", "admin:datasets_dataset_rights_everywhere"))
        people.append(_item("Space", "database", "admin:exporter_exportfile_space"))
    if user.has_perm("datasets.erase_values"):
        people.append(_item("Erasures", "person_remove", "admin:datasets_erasure_changelist"))
    if user.has_perm("exporter.view_destination"):
        people.append(_item("Export destinations", "cloud_upload", "admin:exporter_destination_changelist"))
    if user.has_perm("audit.view_event"):
        people.append(_item("Events", "history", "admin:audit_event_changelist"))
    return people


def _mark(groups: list[dict[str, Any]], path: str) -> None:
    """Mark the one entry a page belongs to: the longest address it lies below; unfold marks every such."""
    items = [item for group in groups for item in group["items"]]
    pages = {id(item): item.pop("pages", urlsplit(item["link"]).path) for item in items}
    above = [item for item in items if path.startswith(pages[id(item)])]
    chosen = max(above, key=lambda item: len(pages[id(item)]), default=None)
    home = reverse("admin:index")
    for item in items:
        item["active"] = item is chosen and (path == home or pages[id(item)] != home)


def operator_sidebar(_request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of the operators' sidebar."""
    return [
        {
            "items": [
                _item("Platform", "dashboard", "operator:index"),
                _item("Tenants", "apartment", "operator:tenants_tenant_changelist"),
                _item("Backups", "backup", "operator:tenants_tenantbackup_changelist"),
                _item("Jobs", "work_history", "operator:jobs_job_changelist"),
                _item("Work per tenant", "balance", "operator:jobs_tenantshare_changelist"),
                _item("Events", "history", "operator:audit_event_changelist"),
                _item("Operators", "shield_person", "operator:operators_operator_changelist"),
            ]
        }
    ]


def _plain_models(user: Any) -> list[dict[str, Any]]:
    """Return the records of installed apps that this person may see, each with its imports."""
    items = []
    for target in targets_for(user):
        title = conditional_escape(title_of(target).capitalize())
        if has_pages(target):
            items.append(
                _item(f"Imports of {title.lower()}", "upload_file", f"admin:{names(target)}_changelist")
            )
        if "view" in rights_of(user, PROXIES[target]) and (records := records_address(target)):
            items.append({"title": title, "icon": "table_rows", "link": records})
    return items


def _item(title: str, icon: str, view: str, *args: object) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(view, args=args)}
