"""Every name stock templates reverse leads to a records page, and back."""

from __future__ import annotations

import pytest
from django.urls import NoReverseMatch, resolve, reverse

NAMES = {
    "changelist": ((), "/admin/datasets/dataset/7/rows/"),
    "add": ((), "/admin/datasets/dataset/7/rows/add/"),
    "change": ((5,), "/admin/datasets/dataset/7/rows/5/change/"),
    "delete": ((5,), "/admin/datasets/dataset/7/rows/5/delete/"),
    "history": ((5,), "/admin/datasets/dataset/7/rows/5/history/"),
    "simple_history": ((5, 3), "/admin/datasets/dataset/7/rows/5/history/3/"),
}


@pytest.mark.parametrize("operation", NAMES)
def test_a_generated_name_is_reversed_and_resolved(operation: str) -> None:
    args, url = NAMES[operation]
    name = f"admin:datasets_ds7_{operation}"
    assert reverse(name, args=args) == url
    keywords = dict(zip(("object_id", "version_id"), args, strict=False))
    assert reverse(name, kwargs=keywords) == url
    match = resolve(url)
    assert (match.url_name, match.kwargs["dataset_id"]) == (f"datasets_ds7_{operation}", 7)


def test_text_arguments_do_as_well() -> None:
    assert reverse("admin:datasets_ds7_change", args=("5",)) == NAMES["change"][1]


def test_other_names_are_left_alone() -> None:
    assert reverse("admin:index") == "/admin/"
    assert reverse("admin:datasets_dataset_history", args=(7,)) == "/admin/datasets/dataset/7/history/"
    assert resolve("/admin/datasets/dataset/7/history/").url_name == "datasets_dataset_history"


@pytest.mark.parametrize("name", ["datasets_dsx_change", "datasets_ds7_nothing", "datasets_ds7_changelist/x"])
def test_a_name_of_no_page_is_refused(name: str) -> None:
    with pytest.raises(NoReverseMatch):
        reverse(f"admin:{name}")
