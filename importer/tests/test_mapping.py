"""Labels to columns: the same guess every time, a column never twice, doubt visible."""

from __future__ import annotations

import pytest

from datasets.columntypes.base import Reading
from datasets.spec import ColumnSpec, DatasetSpec
from importer.mapping import Match, absent, choose, normalise, problems, saved_from, suggest
from importer.reading import guess_reading


def columns(*labels: str, kind: str = "text", required: tuple[str, ...] = ()) -> tuple[ColumnSpec, ...]:
    return tuple(
        ColumnSpec(at, label, kind, is_required=label in required) for at, label in enumerate(labels, start=1)
    )


def found(matches):
    return [(match.label, match.column, match.reason) for match in matches]


@pytest.mark.parametrize("label", ["ISO Country", "iso_country", " iso-country* ", "ＩＳＯ　Country"])
def test_marks_case_and_width_do_not_matter(label):
    assert normalise(label) == "iso country"
    assert found(suggest([label], [], columns("Iso country"))) == [(label, "c1", "exact")]


def test_exact_goes_before_saved_before_synonym_before_likeness():
    specs = columns("Name", "E-mail", "Phone", "Opening hours")
    matches = suggest(["name", "Kontakt", "Tel.", "opening hour"], [], specs, {"Kontakt": "c2"})
    assert found(matches) == [
        ("name", "c1", "exact"), ("Kontakt", "c2", "saved"), ("Tel.", "c3", "synonym"), ("opening hour", "c4", "fuzzy"),
    ]  # fmt: skip
    assert all(match.is_certain for match in matches)


@pytest.mark.parametrize(
    ("label", "column"),
    [("identifier", "ID"), ("mail", "Email"), ("lng", "Longitude"), ("latitude_deg", "Lat"), ("qty", "Quantity"),
     ("amount", "Price"), ("iso_country", "Country code"), ("altitude", "Elevation"), ("title", "Name"),
     ("day", "Date")],
)  # fmt: skip
def test_general_synonyms(label, column):
    assert found(suggest([label], [], columns(column, "Something else"))) == [(label, "c1", "synonym")]


def test_a_weak_likeness_is_suggested_but_not_certain():
    (match,) = suggest(["runway surface kind"], [], columns("Surface"))
    assert (match.column, match.reason, match.is_certain) == ("c1", "fuzzy", False)
    assert suggest(["zzz"], [], columns("Surface"))[0].column is None


def test_the_better_likeness_takes_the_column():
    matches = suggest(["surface of it", "surfaces"], [], columns("Surface"))
    assert [match.column for match in matches] == [None, "c1"]


def test_what_was_left_out_on_purpose_stays_out():
    (match,) = suggest(["phone no"], [], columns("Phone number"), {"phone no": None})
    assert (match.column, match.reason, match.is_certain) == (None, "saved", True)


@pytest.mark.case("F40")
def test_a_label_that_fits_two_columns_is_left_to_a_person():
    specs = columns("Phone", "Tel")
    matches = suggest(["telephone"], [], specs)
    assert matches[0].candidates == ("c1", "c2")
    issues = problems(matches, DatasetSpec(1, "d", "D", specs, ()))
    assert [(issue.code, issue.column) for issue in issues] == [("duplicate-label", "telephone")]


def test_the_second_of_two_equal_labels_is_not_mapped():
    specs = columns("Name")
    matches = suggest(["name", "Name"], [], specs)
    assert [match.column for match in matches] == [None, "c1"]
    assert [issue.code for issue in problems(matches, DatasetSpec(1, "d", "D", specs, ()))] == [
        "duplicate-label"
    ]


@pytest.mark.parametrize(
    "labels",
    [("id", "Growth", "Growth %"), ("id", "Growth %", "Growth"), ("id_", "_version", "select", "id")],
)
def test_labels_that_differ_in_marks_alone_go_to_their_own_columns(labels):
    specs = columns(*labels)
    matches = suggest(labels, [], specs)
    assert [(match.column, match.reason) for match in matches] == [(one.name, "exact") for one in specs]
    assert problems(matches, DatasetSpec(1, "d", "D", specs, ("c1",))) == []


@pytest.mark.parametrize(
    ("label", "column"),
    [
        ("Price %", "price"),
        ("price", "Price €"),
        ("Id #", "id"),
        ("Amount %", "price"),
        ("Weight °C", "weight"),
    ],
)
def test_a_label_with_another_symbol_is_never_certainly_the_same(label, column):
    (match,) = suggest([label], [], columns(column))
    assert (match.column, match.reason, match.score, match.is_certain) == ("c1", "fuzzy", 89, False)


@pytest.mark.parametrize(
    ("label", "column"), [("Growth_%", "growth %"), (" PRICE ", "price"), ("a.b", "a-b")]
)
def test_marks_that_only_divide_words_leave_a_match_certain(label, column):
    assert suggest([label], [], columns(column))[0].reason == "exact"


def test_the_like_of_a_label_that_is_matched_exactly_is_left_out_and_no_problem():
    specs = columns("row", "id")
    matches = suggest(["row_", "row", "id"], [], specs)
    assert [match.column for match in matches] == [None, "c1", "c2"]
    assert problems(matches, DatasetSpec(1, "d", "D", specs, ("c2",))) == []


def test_two_labels_that_compete_for_one_column_are_a_problem():
    specs = columns("a b")
    issues = problems(suggest(["a-b", "a_b"], [], specs), DatasetSpec(1, "d", "D", specs, ()))
    assert [(issue.code, issue.column) for issue in issues] == [("duplicate-label", "a_b")]


def test_a_mapping_given_with_the_file_is_honoured_before_any_likeness():
    specs = columns("Growth", "Growth %", "Note")
    given = {"Growth": "c2", "Growth %": "c1", "Note": None}
    matches = suggest(["Growth", "Growth %", "Note"], [], specs, given, is_explicit=True)
    assert found(matches) == [
        ("Growth", "c2", "saved"), ("Growth %", "c1", "saved"), ("Note", None, "saved"),
    ]  # fmt: skip


def test_what_a_remembered_mapping_left_out_goes_to_a_column_of_its_name():
    assert found(suggest(["Note"], [], columns("Note"), {"Note": None})) == [("Note", "c1", "exact")]


def test_a_mapping_given_with_a_file_without_labels_is_honoured():
    given = {"column 1": "c2", "column 2": "c1"}
    matches = suggest(["column 1", "column 2"], [], columns("Id", "Name"), given, is_explicit=True)
    assert [(match.column, match.is_certain) for match in matches] == [("c2", True), ("c1", True)]


def test_labels_a_mapping_names_and_the_file_lacks_are_found():
    assert absent(["ID", "Growth %"], {"id": "c1", "idd": "c1", "Growth": "c2"}) == ["idd", "Growth"]


def unsure(label, *candidates):
    return Match(0, label, None, "fuzzy", 80, candidates=candidates)


def test_an_uncertain_label_of_an_optional_column_is_no_problem():
    specs = columns("name")
    assert problems([unsure("names", "c1")], DatasetSpec(1, "d", "D", specs, ())) == []


def test_an_uncertain_label_of_a_required_column_is_named_in_the_sentence_about_it():
    spec = DatasetSpec(1, "d", "D", columns("name", required=("name",)), ())
    assert [(issue.code, issue.column, issue.rule) for issue in problems([unsure("names", "c1")], spec)] == [
        ("missing-label", "name",
         "No label of the file goes to name; “names” may be meant. Match it, then preview again."),
    ]  # fmt: skip


@pytest.mark.case("F41")
def test_key_and_required_columns_without_a_label_are_listed():
    specs = columns("Id", "Name", "Note", required=("Name",))
    issues = problems(suggest(["note", "unheard"], [], specs), DatasetSpec(1, "d", "D", specs, ("c1",)))
    assert [(issue.code, issue.column) for issue in issues] == [
        ("missing-label", "Id"),
        ("missing-label", "Name"),
    ]


@pytest.mark.case("F19")
def test_without_labels_columns_go_by_position_and_need_a_look():
    matches = suggest(["column 1", "column 2"], [], columns("Id", "Name"))
    assert [(match.column, match.reason, match.is_certain) for match in matches] == [
        ("c1", "position", False), ("c2", "position", False),
    ]  # fmt: skip


@pytest.mark.case("F39")
def test_an_unnamed_column_is_unmapped():
    assert suggest(["Id", "column 2"], [], columns("Id", "Column"))[1].column is None


def test_a_persons_choice_takes_the_column_away_from_the_guess():
    specs = columns("Name", "Note")
    matches = choose(suggest(["name", "note"], [], specs), {1: "c1"}, [], specs)
    assert found(matches) == [("name", None, "none"), ("note", "c1", "chosen")]
    assert saved_from(matches) == {"name": None, "note": "c1"}


def test_a_match_survives_being_saved():
    match = Match(1, "Preis", "c2", "fuzzy", 80, Reading(decimal_mark=",", null_words=("-",)), ("c3",))
    assert Match.from_dict(match.to_dict()) == match


@pytest.mark.case("F22")
@pytest.mark.parametrize(
    ("values", "marks"),
    [
        (["1.234,56", "7"], (",", ".")),
        (["1,234.56"], (".", ",")),
        (["2,50", "3"], (",", "")),
        (["1 234,5"], (",", " ")),
        (["1,234,567"], (".", ",")),
        (["1.234.567"], (",", ".")),
        (["1,234"], (".", "")),
        (["1.234"], (".", "")),
        (["1,234.56", "1.234,56"], (".", "")),
        (["12.5", "abc"], (".", "")),
    ],
)
def test_marks_of_numbers_are_proved_and_never_guessed(values, marks):
    reading = guess_reading("decimal", values)
    assert (reading.decimal_mark, reading.group_mark) == marks


@pytest.mark.parametrize(
    ("values", "order"),
    [
        (["31/12/2026", "01/02/2026"], "DMY"),
        (["12/31/2026"], "MDY"),
        (["01/02/2026"], "YMD"),
        (["31/12/2026", "12/31/2026"], "YMD"),
    ],
)
def test_the_order_of_a_date_is_proved_and_never_guessed(values, order):
    assert guess_reading("date", values).date_order == order
