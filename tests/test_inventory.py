"""Whatever there is belongs to a tenant or to the platform, and somebody has said to which.

A new model, command, kind of job or user of files fails here by its name until it is written down. The pages have the
same in `test_pages_need_rights.py`. The lists are the point: who adds a line has thought about it.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import connection, router

from core.tenancy import TenantRef, in_tenant
from jobs.kinds import registry
from tests.source import APPS, PLATFORM, modules, where

# Labels of apps whose models stand in `public` alone, in tenants' schemas alone, and in both.
PLATFORM_APPS = {"core", "django_q", "jobs", "operators", "tenants"}
TENANT_APPS = {
    "account", "accounts", "admin", "auth", "datasets", "exporter", "guardian", "importer", "mfa", "socialaccount",
    "tokens", "usersessions",
}  # fmt: skip
BOTH = {"audit.Event", "audit.Seal", "contenttypes.ContentType", "sessions.Session"}

# Commands for one tenant, which they are told; for whichever tenants they are told; and for the whole platform.
OF_A_TENANT = {
    "add_domain", "backup_tenant", "change_column", "create_dataset", "delete_tenant", "describe_dataset",
    "describe_mapping", "enter_tenant", "erase_person", "export_bundle", "export_datasets", "generate_rows",
    "import_bundle", "import_file", "list_datasets", "list_exports", "list_imports", "list_mappings",
    "make_read_only",
    "make_writable", "provision_tenant", "prune_exports", "prune_history", "rebuild_dataset", "reseal_secrets",
    "reset_second_factor",
    "restore_dataset", "restore_tenant", "resume_tenant", "set_export_settings", "set_quota", "show_export_settings",
    "storage_usage", "suspend_tenant", "undo_import", "verify_domain", "verify_exports",
}  # fmt: skip
OF_THE_PLATFORM = {
    "backup_tenants", "create_operator", "demo", "doctor", "drill_backups", "event_streams", "list_backups",
    "list_tenants", "measure_tenants", "migrate_tenants", "probe", "prune_backups",
    "reset_operator_factor", "seal_audit", "setup_schedules", "verify_audit",
    "verify_backup", "worker",
}  # fmt: skip

# Kinds of jobs that work in `public` although a tenant is named; all others run inside their tenant.
JOBS_OF_THE_PLATFORM = {"tenants."}
JOBS_OF_A_TENANT = {
    "accounts.",
    "audit.",
    "datasets.",
    "exporter.",
    "importer.",
    "rowhouse.",
    "examples.",
    "stock.",
    "tests.",
}

# Who opens files by Django's storage itself; everybody else goes by `core.storage`, whose keys begin with the tenant.
OPENING_FILES = {
    "audit/anchors.py",  # of the platform's own log, which operators alone reach
    "platform/core/storage.py",
    "platform/rowhouse/doctor/storing.py",  # of nobody: what it tries and removes
    "platform/rowhouse/settings.py",  # it says which
    "tenants/backup/store.py",  # of whole tenants, which operators alone reach
}


def unclassified(names: Iterable[str], *known: set[str]) -> list[str]:
    """Return the names that are in none of the lists, and those that are in more than one."""
    return sorted(name for name in names if sum(name in each for each in known) != 1)


def our_commands() -> set[str]:
    return {name for name, package in get_commands().items() if package.split(".")[0] in {*PLATFORM, *APPS}}


def models() -> dict[str, type]:
    extra = {each.rpartition(".")[2] for each in settings.EXTRA_APPS}
    found = apps.get_models(include_auto_created=True)
    return {model._meta.label: model for model in found if model._meta.app_label not in extra}


@pytest.mark.case("T36")
def test_every_model_is_the_platforms_or_a_tenants() -> None:
    labels = {label: label.split(".")[0] for label in models()}
    found = {label for label, app in labels.items() if label not in BOTH}
    unknown = unclassified({labels[label] for label in found}, PLATFORM_APPS, TENANT_APPS)
    assert (unknown, BOTH - set(labels)) == ([], set())


@pytest.mark.case("T36")
def test_each_model_stands_where_it_is_said_to(acme: TenantRef) -> None:
    def tables() -> set[str]:
        return set(connection.introspection.table_names())

    public = tables()
    with in_tenant(acme):
        own = tables()
        for label, model in models().items():
            meta = model._meta  # type: ignore[attr-defined]
            app = meta.app_label
            wanted = (label in BOTH or app in PLATFORM_APPS, label in BOTH or app in TENANT_APPS)
            if not meta.managed or meta.proxy:
                continue
            assert (meta.db_table in public, meta.db_table in own) == wanted, label
            assert router.allow_migrate_model("default", model) is wanted[1], label


@pytest.mark.case("T36", "T33")
def test_every_command_is_for_one_tenant_or_for_the_platform() -> None:
    assert unclassified(our_commands(), OF_A_TENANT, OF_THE_PLATFORM) == []
    assert (OF_A_TENANT | OF_THE_PLATFORM) - our_commands() == set()


@pytest.mark.case("T33")
@pytest.mark.parametrize("name", sorted(OF_A_TENANT))
def test_a_command_for_one_tenant_refuses_to_guess_it(name: str) -> None:
    parser: ArgumentParser = load_command_class(get_commands()[name], name).create_parser("rowhouse", name)
    required = [action for action in parser._actions if action.dest in {"tenant", "slug"} and action.required]
    assert required, "it would do without"
    with pytest.raises(CommandError, match="required"):
        call_command(name)


@pytest.mark.case("T36")
def test_every_kind_of_job_is_a_tenants_or_the_platforms() -> None:
    apps_of_kinds = {name.split(".")[0] + "." for name in registry()}
    assert unclassified(apps_of_kinds, JOBS_OF_A_TENANT, JOBS_OF_THE_PLATFORM) == []


@pytest.mark.case("T36")
def test_files_are_opened_by_way_of_the_tenants_keys_alone() -> None:
    assert {
        where(path) for path in modules() if opens_files(path.read_text(encoding="utf-8"))
    } == OPENING_FILES


def opens_files(text: str) -> bool:
    return any(
        word in text
        for word in (
            "default_storage",
            "import storages",
            "get_storage_class",
            "storages[",
            "store_below(",
        )
    )


@pytest.mark.case("T36")
def test_what_nobody_has_classified_is_named() -> None:
    assert opens_files("from django.core.files.storage import default_storage")
    assert unclassified([*our_commands(), "empty_everything"], OF_A_TENANT, OF_THE_PLATFORM) == [
        "empty_everything"
    ]
    assert unclassified(["planted.", "tenants."], JOBS_OF_A_TENANT, JOBS_OF_THE_PLATFORM) == ["planted."]
    assert unclassified(["planted", "jobs", "auth"], PLATFORM_APPS, TENANT_APPS) == ["planted"]
