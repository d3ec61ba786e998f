"""What a recipe makes of a row's cells, and that a column read by one is judged like a file that had its text."""

from __future__ import annotations

import pytest

from benchmarks.copied import copied
from datasets.columntypes.base import Reading
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec
from importer.dialect import Dialect
from importer.mapping import Match
from importer.readers.csv import read_chunks
from importer.recipes import Recipe, prepare
from importer.validation import Validator

ROW = (" Ada  Lovelace ", None, "", "x;y;;z")


@pytest.mark.parametrize(
    ("recipe", "position", "made"),
    [
        (Recipe(), 0, " Ada  Lovelace "),
        (Recipe(), 1, None),
        (Recipe(), 2, ""),
        (Recipe(constant="EUR"), -1, "EUR"),
        (Recipe(constant=""), -1, ""),
        (Recipe(joined=(1, 2, 3), separator="/"), 0, " Ada  Lovelace /x;y;;z"),
        (Recipe(joined=(1,)), 1, None),
        (Recipe(joined=(1,)), 2, ""),
        (Recipe(joined=(2,)), 1, None),
        (Recipe(constant="Dr.", joined=(0,), trim=True), -1, "Dr.  Ada  Lovelace"),
        (Recipe(split=";", part=2), 3, "y"),
        (Recipe(split=";", part=-1), 3, "z"),
        (Recipe(split=";", part=-4), 3, "x"),
        (Recipe(split=";", part=3), 3, None),
        (Recipe(split=";", part=5), 3, None),
        (Recipe(split=";", part=-5), 3, None),
        (Recipe(split=";"), 1, None),
        (Recipe(split=";"), 2, ""),
        (Recipe(trim=True), 0, "Ada  Lovelace"),
        (Recipe(trim=True), 2, ""),
        (Recipe(trim=True, case="upper"), 0, "ADA  LOVELACE"),
        (Recipe(case="lower"), 0, " ada  lovelace "),
        (Recipe(values=(("", "none"),)), 2, "none"),
        (Recipe(values=(("", "none"),)), 1, None),
        (Recipe(values=(("x;y;;z", None),)), 3, None),
        (Recipe(split=";", values=(("x", "Xenia"), ("x", "second"))), 3, "Xenia"),
        (Recipe(default="?"), 1, "?"),
        (Recipe(default="?"), 2, "?"),
        (Recipe(default="?"), 0, " Ada  Lovelace "),
        (Recipe(values=(("x;y;;z", None),), default="?"), 3, "?"),
        (Recipe(joined=(9,)), 9, None),
    ],
)
def test_a_recipe_makes_one_cell_of_a_row(recipe, position, made):
    assert prepare(recipe, ROW, position) == made


@pytest.mark.parametrize("white", [" ", "\t", "\u00a0", "\u202f", "\u3000", "\u2028", "\ufeff", "\u200b"])
def test_trim_takes_all_white_space_and_leaves_an_empty_cell_of_nothing_else(white):
    assert prepare(Recipe(trim=True), [f"{white}a{white}b{white}"], 0) == f"a{white}b"
    assert prepare(Recipe(trim=True), [white * 3], 0) is None


@pytest.mark.parametrize(
    ("given", "made"),
    [("JEAN-LUC o'neil", "Jean-Luc O'Neil"), ("don't stop", "Don't Stop"), ("école d'ivry", "École D'Ivry"),
     ("ßtraße", "Sstraße"), ("3rd", "3rd"), ("AUJOURD'HUI", "Aujourd'hui")],
)  # fmt: skip
def test_title_case_begins_every_word_with_a_capital(given, made):
    assert prepare(Recipe(case="title"), [given], 0) == made


COLUMNS = (
    ColumnSpec(1, "Id", "integer", is_required=True),
    ColumnSpec(2, "First", "text", is_required=True),
    ColumnSpec(3, "Last", "text"),
    ColumnSpec(4, "Currency", "choice", options=ColumnOptions(choices=("EUR", "USD"))),
    ColumnSpec(5, "Amount", "decimal", options=ColumnOptions(precision=8, scale=2)),
    ColumnSpec(6, "Full", "text"),
)
SPEC = DatasetSpec(1, "t", "T", COLUMNS, ("c1",))
LABELS = ("id", "name", "amount", "more")


def match(position, column, reading=None, **steps):
    label = LABELS[position] if position >= 0 else ""
    return Match(position, label, column, "chosen", 100, reading or Reading(), recipe=Recipe(**steps))


def read(tmp_path, content, matches, *, spec=SPEC, hazards=None, fixes=None, slowly=False, labels=LABELS):
    path = tmp_path / "file.csv"
    path.write_text(content, newline="")
    validator = Validator(spec, matches, Dialect(), hazards, labels=labels, fixes=fixes)
    look = validator.check_slowly if slowly else validator.check
    parts = [look(chunk) for chunk in read_chunks(path, Dialect())]
    rows = [row for part in parts for row in copied(part)]
    found = [
        (issue.code, issue.row, issue.column, issue.value, issue.severity)
        for part in parts
        for issue in (*part.issues, *part.warnings)
    ]
    return rows, found


BY_RECIPE = (
    match(0, "c1"),
    match(1, "c2", split=" ", part=1),
    match(1, "c3", split=" ", part=2, case="upper"),
    match(-1, "c4", constant="EUR"),
    match(2, "c5", Reading(null_words=("NA",)), default="0"),
    match(3, "c6", joined=(1,), separator=": "),
)


@pytest.mark.parametrize("slowly", [False, True])
def test_one_label_fills_several_columns_and_a_column_takes_several_labels(tmp_path, slowly):
    content = 'id,name,amount,more\n1,Ada Byron,2.5,x\n2,Bob,,\n3,"",NA," "\n4,C D,  ,y,z\n'
    assert read(tmp_path, content, BY_RECIPE, slowly=slowly) == (
        [
            ["2", "1", "Ada", "BYRON", "EUR", "2.50", "x: Ada Byron"],
            ["3", "2", "Bob", None, "EUR", "0.00", "Bob"],
        ],
        [("missing-cell", 4, "name", "", "error"), ("extra-cell", 5, "", "z", "error")],
    )


@pytest.mark.parametrize("slowly", [False, True])
def test_a_wrong_default_and_a_wrong_constant_are_issues_that_name_what_was_judged(tmp_path, slowly):
    matches = (
        match(0, "c1"), match(1, "c2", split="-", part=2), match(-1, "c4", constant="eur"),
        match(2, "c5", default="none"),
    )  # fmt: skip
    rows, found = read(tmp_path, "id,name,amount,more\n1,ab,,\n", matches, slowly=slowly)
    assert (rows, found) == (
        [],
        [
            ("missing-cell", 2, "name", "ab", "error"),
            ("constraint-error", 2, "Currency", "eur", "error"),
            ("type-error", 2, "amount", "none", "error"),
        ],
    )


@pytest.mark.parametrize("slowly", [False, True])
def test_a_hazard_in_any_cell_of_a_recipe_makes_the_column_wrong(tmp_path, slowly):
    content = "id,name,amount,more\n1,#N/A,1,x\n2,a b,1,#REF!\n3,c d,#N/A,x\n"
    hazards = {(2, 1): "#N/A", (3, 3): "#REF!"}
    matches = (match(0, "c1"), match(3, "c6", joined=(1,)), match(-1, "c2", constant="k"))
    rows, found = read(tmp_path, content, matches, hazards=hazards, slowly=slowly)
    assert rows == [["4", "3", "k", "x c d"]]
    assert found == [("type-error", 2, "more", "#N/A", "error"), ("type-error", 3, "more", "#REF!", "error")]


@pytest.mark.parametrize("slowly", [False, True])
def test_keep_forgives_an_empty_cell_in_a_required_column_but_not_in_the_key(tmp_path, slowly):
    matches = (match(0, "c1", blank="keep"), match(1, "c2", blank="keep"))
    content = 'id,name,amount,more\n1,,,x\n2,"",,x\n,c,,\n'
    assert read(tmp_path, content, matches, slowly=slowly) == (
        [["2", "1", None], ["3", "2", None]],
        [("primary-key", 4, "id", "", "error")],
    )


TEXT_KEY = DatasetSpec(
    1, "t", "T", (ColumnSpec(1, "Code", "text", is_required=True), ColumnSpec(2, "Note", "text")), ("c1",)
)


@pytest.mark.parametrize("slowly", [False, True])
def test_a_warning_tells_of_a_row_and_does_not_reject_it(tmp_path, slowly):
    content = 'id,name,amount,more\nA,ok,,\nB ,a\ufffdb,,\n\u00a0C, x ,,\n,d\ufffd,,\n\n"D\n",\ufffd,,\n'
    matches = (match(0, "c1"), match(1, "c2"))
    rows, found = read(tmp_path, content, matches, spec=TEXT_KEY, slowly=slowly)
    assert [row[0] for row in rows] == ["2", "3", "4", "7"]
    assert found == [
        ("primary-key", 5, "id", "", "error"),
        ("space-around", 3, "id", "B ", "warning"),
        ("replacement-character", 3, "name", "a\ufffdb", "warning"),
        ("space-around", 4, "id", "\u00a0C", "warning"),
        ("space-around", 7, "id", "D\n", "warning"),
        ("replacement-character", 7, "name", "\ufffd", "warning"),
    ]


@pytest.mark.parametrize("slowly", [False, True])
def test_a_trimmed_key_needs_no_warning(tmp_path, slowly):
    rows, found = read(
        tmp_path, "id,name,amount,more\nB ,,,\n", (match(0, "c1", trim=True),), spec=TEXT_KEY, slowly=slowly
    )
    assert (rows, found) == ([["2", "B"]], [])


def test_the_width_of_the_file_is_that_of_its_labels(tmp_path):
    rows, found = read(tmp_path, "id,name,amount,more\n1,a\n", (match(0, "c1"), match(1, "c2")))
    assert (rows, found) == ([], [("missing-cell", 2, "amount", "", "error")])
