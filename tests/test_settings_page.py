"""docs/reference/settings.md says what the settings' code reads, all of it, and which of it is secret."""

from __future__ import annotations

import re

import pytest

from core.env import Variable
from tests.settings_page import PAGE, filled, readers, registered, table

SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|DSN|(_|^)KEYS?$|^DATABASE_URL$")


@pytest.fixture(scope="module")
def variables() -> list[Variable]:
    return registered()


def test_the_page_is_what_the_code_says(variables: list[Variable]):
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, variables) == page, "stale: python -m tests.settings_page"


def test_no_variable_is_read_behind_a_condition_or_in_a_function(variables: list[Variable]):
    # What is read only sometimes would be missing in the reference, and a mistake in it is found late.
    read = {name for names in readers().values() for name in names}
    assert read == {one.name for one in variables}


def test_whatever_is_secret_by_its_name_is_marked(variables: list[Variable]):
    assert [one.name for one in variables if SECRET.search(one.name) and not one.is_secret] == []


def test_every_variable_says_what_it_is_for_in_a_sentence(variables: list[Variable]):
    assert [one.name for one in variables if len(one.purpose) < 10 or not one.purpose.endswith(".")] == []


def test_a_variable_that_is_new_makes_the_page_stale():
    page = "# Settings\n\n<!-- settings: A -->\n<!-- /settings -->\n\n## For make alone\n"
    old = Variable("X", "1", "Old.", "A", is_secret=False)
    written = filled(page, [old])
    assert "| `X` | `1` | Old. |" in written
    assert filled(written, [old]) == written
    assert filled(written, [old, Variable("Y", "", "New.", "A", is_secret=True)]) != written


def test_a_section_that_is_new_comes_before_the_last_with_its_own_table():
    page = "# Settings\n\n<!-- settings: A -->\n<!-- /settings -->\n\nBy hand.\n\n## For make alone\n"
    one, two = (Variable(name, "", "It is.", name, is_secret=False) for name in "AB")
    written = filled(page, [one, two])
    assert written.index("By hand.") < written.index("## B") < written.index("## For make alone")
    assert table([two]) in written


def test_a_variable_in_no_section_is_refused():
    with pytest.raises(AssertionError, match="in no section: .'X'."):
        filled("", [Variable("X", "", "It is.", "", is_secret=False)])
