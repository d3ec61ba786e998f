"""What a dataset remembers of its mappings: by header, by name, in versions."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from importer import saved_mappings, services
from importer.mapping import BadMapping, UnknownColumn
from importer.models import ImportJob, MappingVersion, SavedMapping, State
from importer.rejects import rejected_file
from importer.saved_mappings import BadName, NoSuchMapping
from importer.tests.tools import counts, import_text, make_orders, merge, person, records, upload, work

TEXT = 'zzz,yyy,eur\n1,NEW,"1,50"\n'


def remap(
    job: ImportJob, *, recipes: dict[int, dict[str, Any]] | None = None, **columns: str | None
) -> ImportJob:
    """Give labels (by their text) columns (by their label) and recipes, and preview again."""
    names = {column.label: column.name for column in job.dataset.spec().columns}
    matches = [dict(match) for match in job.mapping]
    for at, match in enumerate(matches):
        if match["label"] in columns:
            column = columns[match["label"]]
            match |= {"column": names[column] if column else None, "reason": "chosen", "candidates": []}
        match["recipe"] = match["recipe"] | (recipes or {}).get(at, {})
    services.set_mapping(job=job, by=person(), matches=matches)
    return work(job)


def mapped(dataset: Dataset) -> ImportJob:
    """An import whose mapping a person made, merged."""
    job = remap(upload(dataset, TEXT), recipes={1: {"case": "lower"}}, zzz="id", yyy="status", eur="amount")
    return merge(job)


def test_the_second_file_of_a_kind_needs_no_choice_and_is_read_by_the_same_recipes(orders: Dataset) -> None:
    first = mapped(orders)
    assert first.state == State.IMPORT_SUCCEEDED, first.error
    again = import_text(orders, TEXT.replace("1,50", "7").replace("NEW", "Paid"))
    assert [tuple(map(str, row[:3])) for row in records(orders)] == [("1", "paid", "7.00")]
    assert again.mapping_version == first.mapping_version
    assert first.mapping_version is not None
    assert first.mapping_version.number == 1


def test_each_changed_mapping_is_a_new_version_and_imports_keep_theirs(orders: Dataset) -> None:
    first = mapped(orders)
    second = merge(remap(upload(orders, TEXT), eur=None))
    third = import_text(orders, TEXT)
    found = [job.mapping_version.number for job in (first, second, third) if job.mapping_version]
    assert found == [1, 2, 2]
    assert SavedMapping.objects.count() == 1
    assert MappingVersion.objects.get(number=2).by == person()
    assert third.mapping[2]["column"] is None


def test_a_preview_that_nobody_confirms_is_not_remembered(orders: Dataset) -> None:
    remap(upload(orders, TEXT), zzz="id", yyy="status")
    assert not SavedMapping.objects.exists()
    assert upload(orders, TEXT).state == State.PREVIEW_FAILED


def test_a_mapping_that_an_older_program_kept_still_holds(orders: Dataset) -> None:
    names = [column.name for column in orders.spec().columns]
    labels = ["zzz", "yyy", "eur"]
    SavedMapping.objects.create(
        dataset=orders, fingerprint=saved_mappings.fingerprint(labels),
        columns={"zzz": names[0], "yyy": names[1], "eur": None},
    )  # fmt: skip
    assert [match["column"] for match in upload(orders, TEXT).mapping] == [*names[:2], None]


def test_what_an_older_program_kept_since_goes_before_the_last_version(orders: Dataset) -> None:
    mapped(orders)
    saved = SavedMapping.objects.get()
    saved.columns |= {"eur": None}
    saved.save()
    assert upload(orders, TEXT).mapping[2]["column"] is None


def test_a_label_whose_column_changed_its_type_is_matched_anew_with_a_notice(orders: Dataset) -> None:
    mapped(orders)
    MappingVersion.objects.update(
        matches=[match | ({"type": "text"} if match["label"] == "eur" else {}) for match in _matches()]
    )
    job = upload(orders, TEXT)
    assert (job.mapping[0]["reason"], job.mapping[2]["column"]) == ("saved", None)
    assert job.notice == "amount is decimal now, no longer text; “eur” was matched anew."


def test_a_label_whose_column_is_gone_is_matched_anew_with_a_notice(orders: Dataset) -> None:
    mapped(orders)
    matches = [match | ({"column": "c999999"} if match["label"] == "eur" else {}) for match in _matches()]
    MappingVersion.objects.update(matches=matches)
    SavedMapping.objects.update(columns={match["label"]: match["column"] for match in matches})
    job = upload(orders, TEXT)
    assert job.mapping[2]["column"] is None
    assert job.notice == "The column that “eur” went to last time is gone; it was matched anew."


def _matches() -> list[dict[str, Any]]:
    return list(MappingVersion.objects.get().matches)


@pytest.mark.parametrize("is_merged", [True, False])
def test_a_corrected_file_of_rejected_rows_is_mapped_as_the_file_it_came_from(
    orders: Dataset, *, is_merged: bool
) -> None:
    job = remap(upload(orders, "zzz,yyy\n1,new\n2,lost\n"), zzz="id", yyy="status")
    rejects = b"".join(rejected_file(job)).decode("utf-8-sig")
    if is_merged:
        merge(job)
    corrected = upload(orders, rejects.replace('"lost"', '"paid"'), name="corrected.csv")
    assert (corrected.state, counts(corrected)) == (State.PREVIEW_SUCCEEDED, (1, 0, 0, 0)), corrected.error
    assert [match["column"] is None for match in corrected.mapping] == [True, True, False, False]


def test_a_name_keeps_versions_and_is_used_by_label(orders: Dataset) -> None:
    job = remap(upload(orders, TEXT), recipes={1: {"case": "lower"}}, zzz="id", yyy="status", eur="amount")
    assert saved_mappings.save_as(job=job, name="Shop", by=person()).number == 1
    assert saved_mappings.save_as(job=job, name="Shop", by=person()).number == 1
    job = remap(job, eur=None)
    assert job.mapping_version is None
    assert saved_mappings.save_as(job=job, name="Shop", by=person()).number == 2
    other = upload(orders, "eur,yyy,zzz\n1,New,5\n", columns="Shop")
    assert (other.state, other.mapping_version) == (
        State.PREVIEW_SUCCEEDED,
        saved_mappings.named(orders, "Shop"),
    )
    merge(other)
    assert [tuple(map(str, row[:3])) for row in records(orders)] == [("5", "new", "None")]
    other.refresh_from_db()
    assert other.mapping_version == saved_mappings.named(orders, "Shop")


def test_a_named_mapping_that_asks_for_a_label_the_file_lacks_is_refused(orders: Dataset) -> None:
    job = remap(upload(orders, TEXT), zzz="id", yyy="status", eur=None)
    saved_mappings.save_as(job=job, name="Shop", by=person())
    assert upload(orders, "zzz,yyy\n1,new\n", columns="Shop").state == State.PREVIEW_SUCCEEDED
    lacking = upload(orders, "zzz,eur\n1,new\n", columns="Shop")
    assert lacking.error.startswith("The file has no label “yyy”")


def test_using_a_name_on_a_waiting_import_says_what_does_not_fit(orders: Dataset) -> None:
    job = remap(upload(orders, TEXT), zzz="id", yyy="status", eur="amount")
    saved_mappings.save_as(job=job, name="Shop", by=person())
    other = upload(orders, "zzz,yyy\n1,new\n")
    services.set_mapping(job=other, by=person(), name="Shop")
    other = work(other)
    assert other.state == State.PREVIEW_SUCCEEDED
    assert "The file has no label “eur”" in other.notice


def test_a_deleted_name_is_gone_and_its_imports_keep_their_mapping(orders: Dataset) -> None:
    job = remap(upload(orders, TEXT), zzz="id", yyy="status")
    saved_mappings.save_as(job=job, name="Shop", by=person())
    saved_mappings.delete(dataset=orders, name="Shop", by=person())
    job = ImportJob.objects.get(pk=job.pk)
    assert (job.mapping_version, bool(job.mapping)) == (None, True)
    with pytest.raises(NoSuchMapping, match="It has none with a name"):
        saved_mappings.named(orders, "Shop")


@pytest.mark.parametrize("name", ["", "  ", "{x", "x" * 101, "a\x00b"])
def test_a_name_that_cannot_be_used_is_refused(orders: Dataset, name: str) -> None:
    with pytest.raises(BadName):
        saved_mappings.save_as(job=upload(orders), name=name, by=person())


def test_only_who_may_import_saves_and_deletes(orders: Dataset) -> None:
    job = upload(orders)
    saved_mappings.save_as(job=job, name="Shop", by=person())
    with pytest.raises(PermissionDenied):
        saved_mappings.save_as(job=job, name="Shop", by=person("viewer"))
    with pytest.raises(PermissionDenied):
        saved_mappings.delete(dataset=orders, name="Shop", by=person("viewer"))


@pytest.mark.case("T11")
def test_names_stay_in_their_tenant_and_dataset(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(acme):
        saved_mappings.save_as(job=upload(make_orders()), name="Shop", by=person())
        assert saved_mappings.names(make_orders("Others")) == []
    with in_tenant(globex):
        dataset = make_orders()
        assert saved_mappings.names(dataset) == []
        with pytest.raises(NoSuchMapping):
            upload(dataset, columns="Shop")


def test_whole_matches_must_be_those_of_the_file(orders: Dataset) -> None:
    job = upload(orders)
    good = [dict(match) for match in job.mapping]
    for bad in (
        good[1:],
        [good[1], good[0], *good[2:]],
        [good[0] | {"label": "x"}, *good[1:]],
        [good[0] | {"colour": 1}, *good[1:]],
        [good[0], good[1] | {"column": good[0]["column"]}, *good[2:]],
        [good[0] | {"recipe": {"part": 0}}, *good[1:]],
        [*good, good[0] | {"position": -1, "label": "", "column": None, "recipe": {"constant": "x"}}],
    ):
        with pytest.raises(BadMapping):
            services.set_mapping(job=job, by=person(), matches=bad)
    with pytest.raises(UnknownColumn):
        services.set_mapping(job=job, by=person(), matches=[good[0] | {"column": "c0"}, *good[1:]])
    assert ImportJob.objects.get(pk=job.pk).previews == job.previews


def test_a_file_without_labels_is_never_matched_from_memory(orders: Dataset) -> None:
    given = {"column 1": "status", "column 2": "id"}
    import_text(orders, "new,1\npaid,2\n", columns=given, overrides={"header_row": 0})
    job = upload(orders, "new,1\npaid,2\n", overrides={"header_row": 0})
    assert [match["column"] for match in job.mapping] == [None, None]
