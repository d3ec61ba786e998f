"""How much a mapping may say, whichever way it comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from django.test import Client

from core.tenancy import TenantRef, in_tenant
from datasets.columntypes.base import Reading
from datasets.models import Dataset
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec
from importer import saved_mappings, services
from importer.mapping import BadMapping, Match, faults, read_mapping
from importer.models import ImportJob, MappingVersion, State
from importer.recipes import Recipe
from importer.tests.test_mapping_page import fields, names, url
from importer.tests.tools import make_orders, person, upload

ClientOf = Callable[..., Client]
COLUMNS = tuple(ColumnSpec(at, f"col {at}", "text") for at in range(60))
SPEC = DatasetSpec(1, "t", "T", COLUMNS, ("c0",))
LABELS = [f"l{at}" for at in range(60)]


def match(at: int = 1, position: int | None = None, **recipe: object) -> Match:
    place = -1 if "constant" in recipe else at if position is None else position
    made = replace(Recipe(), **recipe)  # type: ignore[arg-type]
    return Match(place, LABELS[place] if place >= 0 else "", f"c{at}", "chosen", 100, recipe=made)


def pairs(number: int, size: int = 1) -> tuple[tuple[str, str], ...]:
    return tuple((f"{at:04}", "x" * size) for at in range(number))


@pytest.mark.parametrize(
    ("good", "bad", "field", "said"),
    [
        (match(constant="x" * 10_000), match(constant="x" * 10_001), "constant", "10,001 characters"),
        (match(default="x" * 10_000), match(default="x" * 10_001), "default", "at most 10,000"),
        (match(separator="-" * 100), match(separator="-" * 101), "separator", "at most 100"),
        (match(split="-" * 100), match(split="-" * 101), "split", "at most 100"),
        (match(values=pairs(1_000)), match(values=pairs(1_001)), "values", "1,001 values"),
        (match(values=pairs(1, 1_000)), match(values=pairs(1, 1_001)), "values", "more than 1,000"),
        (match(joined=tuple(range(20))), match(joined=tuple(range(21))), "joined", "at most 20"),
        (
            replace(match(), reading=Reading(null_words=("x" * 1_000,))),
            replace(match(), reading=Reading(null_words=("x" * 1_001,))),
            "null_words", "at most 1,000 words",
        ),
    ],
)  # fmt: skip
def test_a_text_may_be_so_long_and_no_longer(good: Match, bad: Match, field: str, said: str) -> None:
    assert faults([good], SPEC, LABELS) == []
    (found,) = faults([bad], SPEC, LABELS)
    assert (found.field, said in found.rule, len(found.value)) == (field, True, 0), found.rule


def test_a_column_may_take_less() -> None:
    short = replace(COLUMNS[1], options=ColumnOptions(max_length=5))
    spec = replace(SPEC, columns=(COLUMNS[0], short, *COLUMNS[2:]))
    for recipe in ({"constant": "x" * 6}, {"default": "x" * 6}, {"values": (("a", "x" * 6),)}):
        (found,) = faults([match(1, **recipe)], spec, LABELS)
        assert found.field in recipe


@pytest.mark.parametrize(
    ("matches", "said"),
    [
        ([match(at, constant="x" * 7_000) for at in range(1, 4)], "20,000 characters to a row"),
        ([match(at, default="x" * 7_000) for at in range(1, 4)], "20,000 characters to a row"),
        (
            [match(at, values=tuple((str(no) + "y" * 990, None) for no in range(1_000))) for at in (1, 2)],
            "1,000,000 characters in all",
        ),
        ([match(at, position=0) for at in range(51)], "serves more than 50"),
        ([match(at, joined=(0,)) for at in range(1, 52)], "serves more than 50"),
    ],
)
def test_all_together_may_not_say_what_each_may(matches: list[Match], said: str) -> None:
    found = faults(matches, SPEC, LABELS)
    assert found
    assert all(said in fault.rule for fault in found)
    assert faults(matches[:1], SPEC, LABELS) == []


def test_written_json_has_at_most_a_megabyte() -> None:
    with pytest.raises(BadMapping, match=r"bytes; at most 1,000,000"):
        read_mapping({"a": {"column": "col 1", "values": {"x" * 1_000_000: "y"}}}, COLUMNS)


@pytest.fixture
def dataset(acme: TenantRef, globex: TenantRef) -> Dataset:
    with in_tenant(acme):
        return make_orders()


def test_a_mapping_given_with_a_file_reads_no_row_when_it_says_too_much(
    acme: TenantRef, dataset: Dataset
) -> None:
    with in_tenant(acme):
        job = upload(dataset, columns={"id": "id", "status": {"column": "status", "split": "x" * 101}})
        assert job.state == State.PREVIEW_FAILED
        assert job.error.startswith("The text has 101 characters; at most 100 fit here.")


def test_a_saved_mapping_that_says_too_much_is_refused_when_it_is_used(
    acme: TenantRef, dataset: Dataset
) -> None:
    with in_tenant(acme):
        saved_mappings.save_as(job=upload(dataset), name="Shop", by=person())
        version = MappingVersion.objects.get()
        version.matches[3]["recipe"]["default"] = "x" * 10_001
        MappingVersion.objects.update(matches=version.matches)
        assert upload(dataset, columns="Shop").state == State.PREVIEW_FAILED


def test_whole_matches_that_say_too_much_are_refused(acme: TenantRef, dataset: Dataset) -> None:
    with in_tenant(acme):
        job = upload(dataset)
        job.mapping[3]["recipe"]["default"] = "x" * 10_001
        with pytest.raises(BadMapping, match="10,001 characters"):
            services.set_mapping(job=job, by=person(), matches=job.mapping)


def test_the_page_says_it_at_the_field(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    with in_tenant(acme):
        job = upload(dataset, "id,status\n1,new\n")
    sent = {"more_1": "1", "split_1": "x" * 101, "column_new": names(acme, dataset)[3]}
    answer = client_of(acme).post(url(job), fields(job, **sent, constant_new="x" * 1_000_000))
    assert answer.status_code == 422
    assert "The text has 101 characters" in answer.text
    assert "The text has 1,000,000 characters" in answer.text
    with in_tenant(acme):
        assert ImportJob.objects.get(pk=job.pk).mapping == job.mapping
