"""Changing how datasets are exported: the service, its rules, and the commands."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command

from accounts.models import User
from audit.models import Event
from core.clock import now
from core.tenancy import TenantRef, in_tenant
from datasets.granting import limit_column
from datasets.models import ColumnAccess
from datasets.services import grant_right
from exporter.choosing import settings_of
from exporter.models import Destination, ExportSettings
from exporter.services import ColumnsHidden
from exporter.settings_rules import DEFAULTS
from exporter.settings_service import (
    BadSettings,
    SettingsChanged,
    change_export_settings,
    mark_of,
    own_settings,
    remove_export_settings,
    values_of,
)
from exporter.tests.helpers import column, dataset_with


def owner() -> User:
    return User.objects.get(email="owner@acme.example")


def test_a_datasets_own_settings_hide_the_tenants_until_they_are_removed(as_acme: TenantRef) -> None:
    orders, parts = dataset_with(slug="orders"), dataset_with(slug="parts")
    change_export_settings(
        dataset=None, values={"every": "DAY", "time_zone": "Europe/Berlin"}, seen="0", by=owner()
    )
    own = change_export_settings(dataset=orders, values={"format": "xlsx"}, seen="0", by=owner())

    held = settings_of([orders, parts])
    assert (held[orders.pk].every, held[orders.pk].format) == ("HOUR", "xlsx")
    assert (held[parts.pk].every, held[parts.pk].format) == ("DAY", "csv")

    remove_export_settings(dataset=orders, seen=mark_of(own), by=owner())
    assert settings_of([orders])[orders.pk].every == "DAY"
    assert [row.history_type for row in ExportSettings.history.filter(dataset=orders)] == ["-", "+"]


def test_a_change_is_one_event_with_what_was_and_what_is(as_acme: TenantRef) -> None:
    orders = dataset_with()
    first = change_export_settings(dataset=orders, values={}, seen="0", by=owner())
    change_export_settings(dataset=orders, values={"every": "WEEK"}, seen=mark_of(first), by=owner())
    same = own_settings(orders)
    change_export_settings(dataset=orders, values={"every": "WEEK"}, seen=mark_of(same), by=owner())

    events = list(Event.objects.filter(name="exporter.settings.changed").order_by("pk"))
    plain = {**DEFAULTS, "destination": None}
    assert [(one.actor_label, one.target_id, one.data) for one in events] == [
        (str(owner()), str(orders.pk), {"before": None, "after": plain}),
        (str(owner()), str(orders.pk), {"before": plain, "after": {**plain, "every": "WEEK"}}),
    ]


@pytest.mark.case("C19")
def test_who_comes_second_is_told_that_somebody_changed_the_settings(as_acme: TenantRef) -> None:
    orders = dataset_with()
    first = change_export_settings(dataset=orders, values={"every": "DAY"}, seen="0", by=owner())
    seen = mark_of(first)
    for stale in ("0", f"{first.pk}.7"):
        with pytest.raises(SettingsChanged, match="Somebody changed the export settings of “Orders”"):
            change_export_settings(dataset=orders, values={"every": "WEEK"}, seen=stale, by=owner())
    remove_export_settings(dataset=orders, seen=seen, by=owner())
    again = change_export_settings(dataset=orders, values={"every": "QUARTER"}, seen="0", by=owner())
    # Removed and made anew is not what was seen, though it is a first version too.
    with pytest.raises(SettingsChanged):
        change_export_settings(dataset=orders, values={"every": "WEEK"}, seen=seen, by=owner())
    with pytest.raises(SettingsChanged):
        remove_export_settings(dataset=orders, seen=seen, by=owner())
    assert (again.version, own_settings(orders)) == (1, again)


@pytest.mark.case("A16")
def test_a_datasets_settings_need_manage_and_export_of_all_of_it_and_the_tenants_the_role(
    as_acme: TenantRef,
) -> None:
    orders = dataset_with()
    viewer = User.objects.get(email="viewer@acme.example")
    for right in ("manage", "export"):
        with pytest.raises(PermissionDenied):
            change_export_settings(dataset=orders, values={}, seen="0", by=viewer)
        grant_right(right=right, to=viewer, dataset=orders)
    viewer = User.objects.get(email="viewer@acme.example")
    own = change_export_settings(dataset=orders, values={}, seen="0", by=viewer)
    with pytest.raises(PermissionDenied, match="every dataset"):
        change_export_settings(dataset=None, values={}, seen="0", by=viewer)
    with pytest.raises(PermissionDenied):
        change_export_settings(dataset=dataset_with(slug="parts"), values={}, seen="0", by=viewer)
    limit_column(column=orders.columns.get(label="note"), to=viewer, how=ColumnAccess.HIDDEN)
    for change in (
        lambda: change_export_settings(dataset=orders, values={}, seen=mark_of(own), by=viewer),
        lambda: remove_export_settings(dataset=orders, seen=mark_of(own), by=viewer),
    ):
        with pytest.raises(ColumnsHidden):
            change()


def test_each_setting_that_cannot_be_says_why(as_acme: TenantRef) -> None:
    orders = dataset_with((), column("id", "integer"), column("note"))
    pk = {one.label: one.pk for one in orders.spec().columns}
    untested = Destination.objects.create(name="ours", bucket="b", access_key="a", sealed_secret="s")

    def faults(**values: Any) -> dict[str, str]:
        with pytest.raises(BadSettings) as refused:
            change_export_settings(dataset=orders, values=values, seen="0", by=owner())
        return refused.value.faults

    assert list(faults(every="OFTEN", format="doc", delimiter="x", encoding="morse", time_zone="Mars")) == [
        "every",
        "format",
    ]  # what does not apply is not looked at
    assert faults(every="CRON", cron="0 25 * * *") == {"cron": "“0 25 * * *” are no cron times: bad hour."}
    assert faults(every="CRON", cron="x") == {
        "cron": "Cron times have five parts: minute, hour, day of the month, month and day of the week,"
        " such as “0 6 * * MON-FRI”."
    }
    assert faults(every="DAY", time_zone="Mars", delimiter="x", encoding="morse").keys() == {
        "time_zone", "delimiter", "encoding",
    }  # fmt: skip
    assert faults(pattern="{dataset}.{ext}") == {
        "pattern": "Put {time} into the file's name (behind the last /), or two files would have one name."
    }
    assert "null_word" in faults(null_word="a,b")
    assert "full_after" in faults(content="INCREMENTAL", full_after=0)
    assert "keep_days" in faults(keep_days=-1)
    assert faults(destination=untested) == {
        "destination": "ours did not pass its test yet. Test it, then choose it."
    }
    note = {"column": pk["note"], "label": "id"}
    assert faults(columns=[note, {"column": pk["id"], "label": ""}]) == {
        "columns": "Two columns would be called 'id'. Give one another label."
    }
    assert "key columns" in faults(columns=[note], content="INCREMENTAL")["columns"]
    assert "not there any more" in faults(columns=[{"column": 0, "label": ""}])["columns"]
    assert not ExportSettings.objects.exists()


def test_a_destination_that_passed_its_test_can_be_chosen(as_acme: TenantRef) -> None:
    ours = Destination.objects.create(
        name="ours", bucket="b", access_key="a", sealed_secret="s", tested_at=now()
    )
    settings = change_export_settings(dataset=None, values={"destination": ours}, seen="0", by=owner())
    assert values_of(settings)["destination"] == ours
    assert Event.objects.get(name="exporter.settings.changed").data["after"]["destination"] == "ours"


def test_what_does_not_apply_is_kept_as_a_new_tenant_has_it(as_acme: TenantRef) -> None:
    stored = change_export_settings(
        dataset=None, seen="0", by=owner(),
        values={"every": "HOUR", "cron": "0 2 * * *", "time_zone": "Europe/Berlin", "format": "parquet",
                "delimiter": ";", "encoding": "utf-16", "mode": "SPREADSHEET", "full_after": 3},
    )  # fmt: skip
    assert values_of(stored) == {**DEFAULTS, "format": "parquet"}


# ---- commands


def run(name: str, *arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command(name, "--tenant", "acme", "--json", *arguments, stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    err = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("set_export_settings", "--tenant", "acme", *arguments, stderr=err)
    return int(ended.value.code or 0), err.getvalue().strip()


def test_the_commands_set_show_and_remove_settings(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(acme):
        orders = dataset_with()
        ids = {one.label: one.pk for one in orders.spec().columns}
    run("set_export_settings", "--every", "DAY", "--time-zone", "Europe/Berlin", "--keep-days", "7")
    told = run(
        "set_export_settings", "--dataset", "orders", "--format", "csv.gz", "--delimiter", ";",
        "--column", "note=Remark", "--column", "id",
    )  # fmt: skip
    assert told["is_own"] is True
    assert (told["every"], told["keep_days"], told["delimiter"]) == ("DAY", 7, ";")  # begun from the tenant's
    assert told["columns"] == [{"column": ids["note"], "label": "Remark"}, {"column": ids["id"], "label": ""}]
    shown = run("show_export_settings")
    assert (shown["tenant"]["words"], shown["datasets"]) == ("every day at 00:00 Europe/Berlin", [told])
    gone = run("set_export_settings", "--dataset", "orders", "--remove")
    assert (gone["is_own"], gone["format"], gone["columns"]) == (False, "csv", [])
    with in_tenant(globex):
        assert not ExportSettings.objects.exists()


def test_the_command_refuses_with_a_sentence(acme: TenantRef, capsys: pytest.CaptureFixture[str]) -> None:
    with in_tenant(acme):
        dataset_with()
    assert refused(capsys)[0] == 2
    assert refused(capsys, "--remove")[0] == 2
    assert refused(capsys, "--every", "CRON", "--cron", "x")[1].startswith("error[bad-export-settings]: Cron")
    assert refused(capsys, "--dataset", "orders", "--column", "nope")[1] == (
        "error[usage]: orders has no column 'nope'; it has id, note."
    )
    assert refused(capsys, "--destination", "nope")[1] == (
        "error[unknown-destination]: There is no destination 'nope' here."
    )
    assert refused(capsys, "--every", "DAY", "--as", "viewer@acme.example")[1].startswith(
        "error[permission-denied]"
    )
