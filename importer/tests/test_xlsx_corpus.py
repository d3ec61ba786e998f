"""Every workbook of the corpus becomes exactly its records, hazards and notes, or is refused by its sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from importer.issues import WorkbookRefused
from importer.readers.areas import letters_of
from importer.readers.grammar import grammar_of
from importer.readers.xlsx import Converted, sheets, to_csv
from importer.readers.xlsx_child import answer
from importer.tests.corpus_xlsx import CASES
from importer.tests.corpus_xlsx.case import Case

# Each in this process: a child for each would only take longer. That workbooks are opened in a child, and how
# that ends, test_xlsx_reader and test_xlsx_hostile see to.
pytestmark = pytest.mark.usefixtures("in_process")

READ = [case for case in CASES if not case.refused]
REFUSED = [case for case in CASES if case.refused]


def marked(cases: list[Case]) -> list[object]:
    return [
        pytest.param(case, id=case.name, marks=[pytest.mark.case(*case.ids)] if case.ids else [])
        for case in cases
    ]


def converted(case: Case, folder: Path) -> tuple[Converted, list[list[str]]]:
    out = folder / "out.csv"
    made = to_csv(case.write(folder / "book.xlsx"), case.sheet, out, header_row=case.header_row)
    records = grammar_of(",", '"').records(out.read_bytes().decode())
    return made, [[cell or "" for cell in record.cells] if any(record.cells) else [] for record in records]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(task: dict[str, Any]) -> dict[str, Any]:
        found = json.loads(json.dumps(answer(task)))
        if "refused" in found:
            raise WorkbookRefused(found["refused"])
        return dict(found)

    monkeypatch.setattr("importer.readers.xlsx._ask", ask)


def test_the_corpus_has_a_name_for_every_case() -> None:
    names = [case.name for case in CASES]
    assert len(names) >= 80
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("case", marked(READ))
def test_a_workbook_becomes_its_records(case: Case, tmp_path: Path) -> None:
    made, records = converted(case, tmp_path)
    assert records == case.records
    named = {f"{letters_of(column)}{row}": word for (row, column), word in made.hazards.items()}
    assert named == dict(case.hazards)
    assert made.notes == case.notes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book.xlsx", "out.csv"]


@pytest.mark.parametrize("case", marked(REFUSED))
def test_a_workbook_is_refused(case: Case, tmp_path: Path) -> None:
    path = case.write(tmp_path / "book.xlsx")
    with pytest.raises(WorkbookRefused, match=case.refused):
        to_csv(path, case.sheet, tmp_path / "out.csv")


@pytest.mark.parametrize("case", marked([case for case in READ if case.records]))
def test_the_list_of_sheets_names_one_that_holds_something(case: Case, tmp_path: Path) -> None:
    assert any(sheet.rows for sheet in sheets(case.write(tmp_path / "book.xlsx")))
