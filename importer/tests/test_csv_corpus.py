"""Every case of the corpus, through the real reading and validation: fast and slow, whole and in small pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.copied import copied
from importer import gate
from importer.dialect import Sniffed, sniff_path
from importer.issues import Unreadable
from importer.mapping import suggest
from importer.readers.csv import read_chunks
from importer.tests.corpus_csv import CASES
from importer.tests.corpus_csv.case import Case
from importer.validation import FEW_CELLS, Checked, Validator

READ = {name: case for name, case in CASES.items() if not case.refusal}
REFUSED = {name: case for name, case in CASES.items() if case.refusal}


def open_file(case: Case, folder: Path) -> tuple[Path, Sniffed]:
    path = folder / "file.csv"
    path.write_bytes(case.data)
    gate.file_kind(case.data[: gate.HEAD_BYTES], "file.csv")
    return path, sniff_path(path, overrides=case.chosen)


def check(
    case: Case, path: Path, sniffed: Sniffed, size: int, *, slowly: bool, few_cells: int = FEW_CELLS
) -> list[Checked]:
    matches = suggest(sniffed.labels, sniffed.samples, case.spec.columns)
    validator = Validator(case.spec, matches, sniffed.dialect, labels=sniffed.labels)
    validator.few_cells = few_cells
    look: Callable[[Any], Checked] = validator.check_slowly if slowly else validator.check
    return [look(chunk) for chunk in read_chunks(path, sniffed.dialect, size=size)]


def outcome(checked: list[Checked]) -> dict[str, object]:
    return {
        "records": [tuple(row[1:]) for part in checked for row in copied(part)],
        "rows": [row[0] for part in checked for row in copied(part)],
        "issues": [(i.row, i.line, i.column, i.code) for part in checked for i in part.issues],
        "rejected": [(r.row, r.line, r.cells) for part in checked for r in part.rejected],
        "blank": sum(part.blank for part in checked),
    }


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_exactly(name: str, tmp_path: Path) -> None:
    case = READ[name]
    path, sniffed = open_file(case, tmp_path)
    checked = check(case, path, sniffed, 1 << 20, slowly=False)
    found = outcome(checked)
    assert (found["records"], found["issues"]) == (list(case.records), list(case.issues))
    dialect = sniffed.dialect.to_dict()
    assert {key: dialect[key] for key in case.dialect} == dict(case.dialect)
    assert len(sniffed.doubts) == len(case.doubts), sniffed.doubts
    assert all(words in said for words, said in zip(case.doubts, sniffed.doubts, strict=True)), sniffed.doubts
    assert case.labels is None or sniffed.labels == tuple(case.labels)
    assert case.blank is None or found["blank"] == case.blank
    rules = {issue.row: issue.rule for part in checked for issue in part.issues}
    assert all(words in rules[row] for row, words in case.rules.items()), rules


@pytest.mark.parametrize("name", READ)
def test_the_fast_and_the_slow_path_agree_whatever_the_size_of_a_piece(name: str, tmp_path: Path) -> None:
    case = READ[name]
    path, sniffed = open_file(case, tmp_path)
    whole = outcome(check(case, path, sniffed, 1 << 20, slowly=False))
    sizes = (64, 1 << 20) if len(case.data) < 100_000 else (1 << 16, 1 << 20)
    for size in sizes:
        for slowly in (False, True):
            assert outcome(check(case, path, sniffed, size, slowly=slowly)) == whole
        assert outcome(check(case, path, sniffed, size, slowly=False, few_cells=0)) == whole


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_is_refused_with_its_code(name: str, tmp_path: Path) -> None:
    case = REFUSED[name]
    with pytest.raises(Unreadable) as refused:
        path, sniffed = open_file(case, tmp_path)
        check(case, path, sniffed, 1 << 20, slowly=False)
    assert refused.value.code == case.refusal
    assert refused.value.message.endswith(".")


def test_the_corpus_is_large_and_its_names_are_words() -> None:
    assert len(CASES) >= 110
    assert all(name == name.lower() and " " not in name for name in CASES)
