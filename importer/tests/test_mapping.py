"""Labels to columns: the same guess every time, a column never twice, doubt visible."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.columntypes.base import Reading
from datasets.spec import ColumnSpec, DatasetSpec
from importer.mapping import (
    BadMapping,
    Match,
    UnknownColumn,
    Wish,
    absent,
    changes,
    choose,
    faults,
    normalise,
    problems,
    read_mapping,
    saved_from,
    suggest,
    wishes_of,
    write_mapping,
)
from importer.reading import guess_reading
from importer.recipe_texts import read_values, read_words, write_values, write_words
from importer.recipes import Recipe


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


def test_a_file_of_which_no_label_is_mapped_is_not_read():
    specs = columns("Name")
    issues = problems(suggest(["colour"], [], specs), DatasetSpec(1, "d", "D", specs, ()))
    assert [(issue.code, issue.rule) for issue in issues] == [
        (
            "missing-label",
            "No label of the file goes to a column of the dataset, so nothing could be read. Map one.",
        )
    ]


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
    specs = columns("id", "name")
    matches = [replace(unsure("names", "c2"), position=1), *suggest(["id"], [], specs)]
    assert problems(matches, DatasetSpec(1, "d", "D", specs, ())) == []


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


# ---- what is remembered, recipes, and mappings as people write them


def spec_of(*specs, key=()):
    return DatasetSpec(1, "d", "D", tuple(specs), key)


def test_what_was_left_out_by_a_persons_choice_stays_out_even_when_a_column_has_its_name():
    specs = columns("Note")
    before = choose(suggest(["Note"], [], specs), {0: None}, [], specs)
    assert found(suggest(["Note"], [], specs, wishes_of(before))) == [("Note", None, "saved")]


def test_a_choice_that_changes_nothing_is_none():
    specs = columns("Name", "Note")
    matches = suggest(["name", "unheard"], [], specs)
    assert choose(matches, {0: "c1", 1: None}, [], specs) == matches


def test_leaving_a_doubt_as_it_is_decides_it():
    specs = columns("Name")
    matches = choose(suggest(["name", "Name"], [], specs), {0: None, 1: "c1"}, [], specs)
    assert matches[0].reason == "chosen"
    assert problems(matches, spec_of(*specs)) == []


def test_a_mapping_follows_its_labels_to_other_places():
    specs = columns("First", "Last", "Town", "Source")
    written = {
        "Name": [{"column": "First", "split": " "}, {"column": "Last", "split": " ", "part": -1}],
        "Place": {"column": "Town", "join": ["Zip"], "separator": ", "},
        "": [{"column": "Source", "constant": "web"}],
    }
    wishes = read_mapping(written, specs)
    for labels in (["Name", "Place", "Zip"], ["Zip", "x", "Place", "Name"]):
        matches = suggest(labels, [], specs, wishes, is_explicit=True)
        assert [match.label for match in matches[: len(labels)]] == labels
        by_column = {match.column: match for match in matches if match.column}
        assert by_column["c1"].position == by_column["c2"].position == labels.index("Name")
        assert by_column["c3"].recipe.joined == (labels.index("Zip"),)
        assert (by_column["c4"].position, by_column["c4"].recipe.constant) == (-1, "web")
        assert problems(matches, spec_of(*specs), labels) == []


def test_a_remembered_column_that_is_gone_or_of_another_type_is_matched_anew():
    before = suggest(["zzz", "Day"], [], columns("Amount", "Day"), {"zzz": "c1", "Day": "c2"})
    wishes = wishes_of(before, columns("Amount", "Day"))
    after = (ColumnSpec(2, "Day", "date"), ColumnSpec(3, "New", "text"))
    matches = suggest(["zzz", "Day"], [], after, wishes)
    assert found(matches) == [("zzz", None, "none"), ("Day", "c2", "exact")]
    assert [sentence.split(";")[0] for sentence in changes(wishes, matches, after)] == [
        "The column that “zzz” went to last time is gone",
        "Day is date now, no longer text",
    ]


def test_a_remembered_reading_holds_unless_the_values_prove_another():
    specs = (ColumnSpec(1, "Price", "decimal"),)
    kept = (Wish("Price", "c1", reading=Reading(decimal_mark=",", null_words=("-",)), type="decimal"),)

    def reading_of(value):
        matches = suggest(["Price"], [[value]], specs, kept)
        return matches[0].reading, changes(kept, matches, specs)

    assert reading_of("7") == (kept[0].reading, [])
    changed, notices = reading_of("1,234.56")
    assert changed == Reading(decimal_mark=".", group_mark=",", null_words=("-",))
    assert len(notices) == 1


def test_a_reading_that_was_written_holds_whatever_the_values_look_like():
    specs = (ColumnSpec(1, "Price", "decimal"),)
    wishes = read_mapping({"Price": {"column": "Price", "decimal_mark": ","}}, specs)
    (match,) = suggest(["Price"], [["1,234.56"]], specs, wishes, is_explicit=True)
    assert match.reading == Reading(decimal_mark=",")


def test_the_reading_is_guessed_from_what_the_recipe_makes():
    specs = (ColumnSpec(1, "Price", "decimal"),)
    wishes = read_mapping({"Price": {"column": "Price", "split": " "}}, specs)
    (match,) = suggest(["Price"], [["2,50 EUR"]], specs, wishes, is_explicit=True)
    assert match.reading.decimal_mark == ","


def test_a_constant_and_a_split_count_as_labels_do():
    specs = columns("id", "kind", required=("id", "kind"))
    matches = [
        Match(0, "zzz", None, "none", 0),
        Match(0, "zzz", "c1", "chosen", 100, recipe=Recipe(split=" ", part=2)),
        Match(-1, "", "c2", "chosen", 100, recipe=Recipe(constant="x")),
    ]
    assert problems(matches, spec_of(*specs, key=("c1",)), ["zzz"]) == []


def test_a_constant_for_a_column_that_a_label_fills_clashes():
    matches = [
        Match(0, "name", "c1", "exact", 100),
        Match(-1, "", "c1", "chosen", 100, recipe=Recipe(constant="x")),
    ]
    issues = problems(matches, spec_of(*columns("name")), ["name"])
    assert [(issue.code, issue.column) for issue in issues] == [
        ("duplicate-label", "name"),
        ("duplicate-label", ""),
    ]


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        (Recipe(part=2), "split"), (Recipe(split=" ", part=0), "part"), (Recipe(joined=(7,)), "joined"),
        (Recipe(case="Upper"), "case"), (Recipe(blank="drop"), "blank"), (Recipe(blank="keep"), "blank"),
        (Recipe(constant="7"), "constant"), (Recipe(default="seven"), "default"),
        (Recipe(values=(("a", "seven"),)), "values"), (Recipe(values=(("a", "1"), ("a", "2"))), "values"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_work_is_a_fault_of_its_field(recipe, field):
    spec = spec_of(ColumnSpec(1, "id", "integer", is_required=True), key=("c1",))
    wrong = faults([Match(0, "id", "c1", "exact", 100, recipe=recipe)], spec, ["id"])
    assert [fault.field for fault in wrong] == [field]


@pytest.mark.parametrize(("constant", "is_wrong"), [("7", False), ("seven", True), ("", True)])
def test_a_constant_is_judged_as_its_column_judges_a_cell(constant, is_wrong):
    spec = spec_of(ColumnSpec(1, "id", "integer", is_required=True), key=("c1",))
    match = Match(-1, "", "c1", "chosen", 100, recipe=Recipe(constant=constant))
    assert bool(faults([match], spec, ["id"])) is is_wrong


@pytest.mark.parametrize(
    ("reading", "field"),
    [
        (Reading(decimal_mark=";"), "decimal_mark"), (Reading(group_mark="x"), "group_mark"),
        (Reading(decimal_mark=",", group_mark=","), "group_mark"), (Reading(date_order="YDM"), "date_order"),
        (Reading(true_words=("x",), false_words=("x",)), "false_words"),
    ],
)  # fmt: skip
def test_a_reading_that_cannot_be_is_a_fault_of_its_field(reading, field):
    wrong = faults([Match(0, "id", "c1", "exact", 100, reading)], spec_of(*columns("id")), ["id"])
    assert [fault.field for fault in wrong] == [field]


@pytest.mark.parametrize(
    "written",
    [
        [], "x", {"a": 1}, {"a": []}, {"a": {"colum": "a"}}, {"a": {"column": "a", "trim": "yes"}},
        {"a": {"column": "a", "part": True}}, {"a": {"column": "a", "values": {"x": 1}}},
        {"a": {"column": "a", "join": [1]}}, {"a": {"column": "a", "constant": "x"}}, {"": "a"},
        {"": [{"column": "a"}]},
        {"a": [{"column": "a"}, {"column": None}]}, {"a": {"column": "a", "case": None}},
    ],
)  # fmt: skip
def test_a_mapping_that_is_not_written_right_is_refused(written):
    with pytest.raises(BadMapping):
        read_mapping(written, columns("a"))


def test_a_mapping_that_names_an_unknown_column_is_refused():
    with pytest.raises(UnknownColumn):
        read_mapping({"a": {"column": "b"}}, columns("a"))


TEXTS = st.sampled_from(
    ["id", "Id", "ID ", "name", "Name", "phone", "tel", "price", "price %", "pric", "column 1"]
)
RECIPES = st.builds(
    Recipe, separator=st.sampled_from([" ", ", "]), split=st.sampled_from(["", ";"]), trim=st.booleans(),
    case=st.sampled_from(["", "upper"]), values=st.sampled_from([(), (("a", "b"), ("c", None))]),
    default=st.sampled_from([None, "z"]), blank=st.sampled_from(["", "clear", "keep"]),
)  # fmt: skip


@given(
    st.lists(TEXTS, max_size=8),
    st.lists(TEXTS, max_size=6, unique=True),
    st.dictionaries(TEXTS, st.sampled_from([None, "c1", "c2", "c9"]), max_size=3),
)
def test_the_guess_is_the_same_every_time_and_no_column_is_taken_twice(labels, titles, saved):
    specs = columns(*titles)
    matches = suggest(labels, [], specs, saved)
    assert matches == suggest(labels, [], specs, saved)
    assert [(match.position, match.label) for match in matches] == list(enumerate(labels))
    mapped = [match.column for match in matches if match.column]
    assert len(mapped) == len(set(mapped))
    assert set(mapped) <= {column.name for column in specs}


@given(st.data(), st.lists(TEXTS, min_size=1, max_size=6, unique=True))
def test_a_mapping_that_is_written_out_and_read_again_is_the_same(data, labels):
    specs = columns(*(f"to {n}" for n in range(9)))
    names = data.draw(st.permutations([column.name for column in specs]))
    matches = [
        Match(at, label, names[at], "saved", 100, recipe=data.draw(RECIPES))
        for at, label in enumerate(labels)
    ]
    if data.draw(st.booleans()):
        matches[0] = Match(0, labels[0], None, "saved", 100)
    joined = Recipe(joined=(len(labels) - 1,), part=1)
    matches.append(Match(-1, "", names[7], "saved", 100, recipe=Recipe(constant="x")))
    if matches[-2].column:
        matches.insert(len(labels), Match(len(labels) - 1, labels[-1], names[8], "saved", 100, recipe=joined))
    again = read_mapping(json.loads(json.dumps(write_mapping(matches, specs))), specs)
    assert list(suggest(labels, [], specs, again, is_explicit=True)) == matches


WORD = st.text(st.sampled_from("ab \"\\=>,\n'ä"), max_size=6)


@given(st.lists(st.tuples(WORD, st.none() | WORD), max_size=4))
def test_a_value_map_survives_the_form(values):
    assert read_values(write_values(values)) == tuple(values)


@given(st.lists(WORD.map(str.strip).filter(bool), max_size=4, unique=True))
def test_words_survive_the_form(words):
    assert read_words(write_words(words)) == tuple(words)
