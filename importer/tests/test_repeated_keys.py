"""Rows that repeat a key are found by the hashes of the keys as by the database, whichever way the rows go there."""

from __future__ import annotations

import functools
import io
import itertools
import random
from typing import Any

import polars as pl
import pytest
from django.db import connection

from benchmarks.pattern_truth import pass_column
from benchmarks.screen_cells import TYPES as KINDS
from core.tenancy import TenantRef, in_tenant
from datasets.columntypes import TYPES, type_of
from datasets.models import Dataset
from datasets.services import NewColumn, create_dataset
from datasets.spec import ColumnOptions, ColumnSpec, Target
from importer import keyhashes, preview, refusals, services, validation
from importer.csvtext import csv_text
from importer.fixing import fix_rows
from importer.judging import Wrong
from importer.keyhashes import KeyHasher, KeyHashes
from importer.models import ImportJob, State
from importer.readers.csv import Position, read_chunks
from importer.rowpattern import RowPattern
from importer.tests.test_fixes_and_others import outcome
from importer.tests.tools import ShortSlice, person, upload, work
from jobs.kinds import Step

NO_KEYS = {"json", "multi_choice"}
ASKED_OF_THE_DATABASE = {"boolean", "time", "json"}
OPTIONS = {
    "decimal": ColumnOptions(precision=10, scale=2),
    "choice": ColumnOptions(choices=("new", "New", "a, b")),
    "phone": ColumnOptions(region="DE"),
}
# Each row of them is one value, in several ways to write it.
SPELLINGS: dict[str, tuple[tuple[str, ...], ...]] = {
    "text": (("a",), ("A",), (" a",), ('q"u',), ("two\nlines",), ("é",), ("e\u0301",), ("1",), ("01",), ("a,b",)),
    "long_text": (("a",), ("a ",), ('""',), ("a\r\nb",), ("x" * 300,)),
    "integer": (("7", "+7", "007", " 7 "), ("-7", "-07"), ("0", "-0", "+0", "00"), ("9223372036854775807",)),
    "decimal": (("1.5", "1.50", "+1.5", "01.50", "1.5000"), ("0", "-0", "-0.0", ".0"), ("-1.5", "-1.50"), ("15",)),
    "boolean": (("true", "t", "YES", "1"), ("false", "no", "0")),
    "date": (("2026-12-31", " 2026-12-31"), ("2026-01-31",), ("0001-01-01",)),
    "time": (("14:00", "14:00:00", "14:00:00.000"), ("14:00:00.5", "14:00:00.50")),
    "timestamp": (
        ("2026-08-26T14:00:00Z", "2026-08-26 14:00:00", "2026-08-26T16:00+02", "2026-08-26T14:00:00.000Z"),
        ("2026-08-26T14:00:00.5Z", "2026-08-26 14:00:00.50", "2026-08-26T15:30:00.5+01:30"),
        ("2026-08-26T00:00:00Z", "2026-08-26 00:00", "2026-08-27 00:00+24:00"),
    ),
    "choice": (("new",), ("New",), ("a, b",)),
    "email": (("a@example.org", "a@EXAMPLE.org"), ("A@example.org", "A@Example.ORG")),
    "url": (("https://example.org/a", "HTTPS://Example.org/a"), ("https://example.org/A",)),
    "phone": (("+4930123456", "030 123456", "+49 (30) 12-34-56"), ("+4930123457",)),
    "uuid": (
        (
            "123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000",
            "123e4567e89b12d3a456426614174000", "{123E4567-e89b-12d3-a456-426614174000}",
        ),
        ("00000000-0000-0000-0000-000000000000",),
    ),
}  # fmt: skip
COMPOSITE = [("integer", "text"), ("decimal", "date", "choice"), ("timestamp", "uuid"), ("text", "boolean")]
KEYS = [*((kind,) for kind in SPELLINGS), *COMPOSITE]
ROWS = 60


def is_told(kinds: tuple[str, ...]) -> bool:
    return not ASKED_OF_THE_DATABASE.intersection(kinds)


def hashes_of(column: ColumnSpec, texts: list[str]) -> pl.DataFrame | None:
    """The hashes of values of a key of one column; their numbers are those in the list."""
    rows = pl.int_range(len(texts), eager=True)
    return KeyHasher([column], [0], ",", '"').of_values(rows, [pl.Series(texts, dtype=pl.String)])


def texts_that_pass(chance: random.Random, kind: str) -> tuple[ColumnSpec, list[str]] | None:
    """Texts that go to the database as they stand, and the canonical ones of the same values."""
    passed = [each for each in pass_column(chance, kind) if each.text and isinstance(each.truth, str)]
    if not passed:
        return None
    texts = [text for each in passed for text in (each.text, each.truth) if not isinstance(text, Wrong)]
    return passed[0].column, [text for text in texts if text]


def differing(cursor: Any, column: ColumnSpec, texts: list[str]) -> list[Any]:
    """The values that PostgreSQL takes for one and the hashes for several."""
    hashes = hashes_of(column, texts)
    assert hashes is not None
    cursor.execute(f"CREATE TABLE valued (hash text, value {type_of(column).sql_type(column)})")
    rows = csv_text(zip(map(str, hashes["hash"].to_list()), texts, strict=True))
    cursor.copy_expert("COPY valued FROM STDIN (FORMAT csv)", io.BytesIO(rows))
    cursor.execute("SELECT value FROM valued GROUP BY value HAVING count(DISTINCT hash) > 1")
    found = list(cursor.fetchall())
    cursor.execute("DROP TABLE valued")
    return found


def compared_in_database(acme: TenantRef, kind: str, seed: int) -> list[Any]:
    chance, found, tried = random.Random(seed), list[Any](), 0
    with in_tenant(acme), connection.cursor() as cursor:
        for _ in range(40):
            made = texts_that_pass(chance, kind)
            if made is None:
                continue
            tried += 1
            found += differing(cursor, *made)
    assert tried
    return found


@pytest.mark.parametrize("kind", sorted(set(KINDS) - ASKED_OF_THE_DATABASE))
def test_what_postgresql_takes_for_equal_has_one_hash(acme: TenantRef, kind: str) -> None:
    seed = random.randrange(1 << 32)
    assert not compared_in_database(acme, kind, seed), f"seed {seed}"


@pytest.mark.parametrize("kind", ["decimal", "timestamp", "uuid"])
def test_a_type_that_compares_texts_alone_is_caught(
    acme: TenantRef, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(type(TYPES[kind]), "compared", lambda self, values, column: values)
    assert compared_in_database(acme, kind, 1)


def test_every_type_is_told_or_left_to_the_database() -> None:
    left = {
        kind
        for kind in KINDS
        if not KeyHasher([ColumnSpec(1, "k", kind)], [0], ",", '"').is_possible
    }  # fmt: skip
    assert left == ASKED_OF_THE_DATABASE
    assert set(KINDS) == set(TYPES) - {"reference"} == set(SPELLINGS) | NO_KEYS


def test_a_reference_is_compared_as_the_key_it_points_to() -> None:
    target = Target("prices", "price", "decimal", dataset=1, column=1)
    column = ColumnSpec(1, "k", "reference", options=ColumnOptions(scale=2, target=target))
    hashes = hashes_of(column, ["1.5", "1.50", "15"])
    assert hashes is not None
    assert hashes["hash"].n_unique() == 2
    to_json = ColumnSpec(1, "k", "reference", options=ColumnOptions(target=Target("a", "b", "json")))
    assert hashes_of(to_json, ["1", "1.0"]) is None


def test_a_form_nobody_foresaw_is_left_to_the_database() -> None:
    for kind, text in (("integer", "1e3"), ("decimal", "1e3"), ("date", "infinity"), ("uuid", "{1}")):
        assert hashes_of(ColumnSpec(1, "k", kind), ["1", text]) is None
    assert hashes_of(ColumnSpec(1, "k", "timestamp"), ["2026-08-26T14:00:00+02"]) is None


def made_file(chance: random.Random, kinds: tuple[str, ...], delimiter: str) -> str:
    """A file whose rows go in every way: as they stand, of several lines, faulty, blank, in odd quotes and forms."""

    def cell(text: str, *, is_quoted: bool) -> str:
        needs = is_quoted or any(sign in text for sign in (delimiter, '"', "\n", "\r"))
        return '"' + text.replace('"', '""') + '"' if needs else text

    note_first, quotes_all = chance.random() < 0.5, chance.random() < 0.2
    lines = []
    for _ in range(ROWS):
        keys = [chance.choice(chance.choice(SPELLINGS[kind])) for kind in kinds]
        note = chance.choice(["x", "", "two\nlines", 'say "a"', "a,b;c", "plain"])
        amount = chance.choice(["1", "2", "+3", "004", "5", "6", "x"])
        cells = [note, *keys, amount] if note_first else [*keys, note, amount]
        if chance.random() < 0.05:
            cells.append("surplus")
        line = delimiter.join(
            cell(text, is_quoted=quotes_all or chance.random() < 0.1 and bool(text)) for text in cells
        )
        lines.append("" if chance.random() < 0.03 else line)
    labels = [f"key {at}" for at in range(len(kinds))]
    head = ["note", *labels, "amount"] if note_first else [*labels, "note", "amount"]
    return "".join(line + "\n" for line in (delimiter.join(head), *lines))


def keyed(kinds: tuple[str, ...]) -> Dataset:
    columns = (
        *(
            NewColumn(f"key {at}", kind, True, False, OPTIONS.get(kind, ColumnOptions()))
            for at, kind in enumerate(kinds)
        ),
        NewColumn("note", "text", False, False, ColumnOptions()),
        NewColumn("amount", "integer", False, False, ColumnOptions()),
    )  # fmt: skip
    key = tuple(f"key {at}" for at in range(len(kinds)))
    return create_dataset(title=" ".join(kinds), columns=columns, key=key, by=None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int] | None]:
    """The suspects that each search for refusals was given."""
    seen: list[list[int] | None] = []
    find = refusals.find_refusals

    def spy(staged: Any, suspects: list[int] | None = None) -> int:
        seen.append(suspects)
        return find(staged, suspects)

    monkeypatch.setattr(preview, "find_refusals", spy)
    return seen


def compare(
    dataset: Dataset, text: str, asked: list[list[int] | None], *, told: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a preview says by the hashes, and by the database alone."""
    by_hash = outcome(upload(dataset, text))
    assert (asked[-1] is not None) == told
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyhashes, "MOST_ROWS", 0)
        by_database = outcome(upload(dataset, text))
    assert asked[-1] is None
    return by_hash, by_database


@pytest.mark.parametrize("few", [0, 10_000], ids=["screened", "judged"])
@pytest.mark.parametrize("kinds", KEYS, ids=" ".join)
def test_a_preview_by_hashes_says_what_the_database_says(
    as_acme: TenantRef,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[list[int] | None],
    kinds: tuple[str, ...],
    few: int,
) -> None:
    monkeypatch.setattr(validation, "FEW_CELLS", few)
    monkeypatch.setattr("importer.rowpattern.WORTH_IT", ROWS)
    seed, dataset, repeated = random.randrange(1 << 32), keyed(kinds), 0
    for number in range(3):
        chance = random.Random(f"{seed} {number}")
        monkeypatch.setattr(
            preview, "read_chunks", functools.partial(read_chunks, size=chance.choice([300, 1 << 20]))
        )
        text = made_file(chance, kinds, chance.choice([",", ";", "\t"]))
        by_hash, by_database = compare(dataset, text, asked, told=is_told(kinds))
        assert by_hash == by_database, f"seed {seed} {number}"
        repeated += by_hash["issue_counts"].get("primary-key", 0)
    assert repeated


def test_rows_do_go_in_both_ways(monkeypatch: pytest.MonkeyPatch, as_acme: TenantRef) -> None:
    ways: set[bool] = set()
    fit = RowPattern.fit

    def spy(self: RowPattern, *words: Any) -> Any:
        fitted = fit(self, *words)
        if fitted is not None:
            ways.update(fitted.fits.to_list())
        return fitted

    monkeypatch.setattr(RowPattern, "fit", spy)
    monkeypatch.setattr("importer.rowpattern.WORTH_IT", ROWS)
    upload(keyed(("decimal",)), made_file(random.Random(1), ("decimal",), ","))
    assert ways == {True, False}


def test_quotes_within_a_key_are_single_ones_in_every_way(
    as_acme: TenantRef, monkeypatch: pytest.MonkeyPatch, asked: list[list[int] | None]
) -> None:
    dataset = keyed(("text",))
    text = 'key 0,note,amount\n"a ""b""",x,1\nother,x,2\n"a ""b""",x,+3\n"a ""b""","y\nz",4\n'
    by_hash, by_database = compare(dataset, text, asked)
    assert by_hash == by_database
    assert by_hash["issue_counts"] == {"primary-key": 2}
    assert asked[-2] == [2, 4, 5]
    plain = KeyHasher._quoted_cell
    monkeypatch.setattr(
        KeyHasher, "_quoted_cell",
        lambda self, line, place: plain(self, line, place).str.replace_all('"', '""', literal=True),
    )  # fmt: skip
    by_hash, by_database = compare(dataset, text, asked)
    assert by_hash != by_database


def test_a_decimal_compared_as_text_is_caught(
    as_acme: TenantRef, monkeypatch: pytest.MonkeyPatch, asked: list[list[int] | None]
) -> None:
    dataset, text = keyed(("decimal",)), "key 0,note,amount\n1.5,,1\n1.50,,2\n"
    assert compare(dataset, text, asked)[0]["issue_counts"] == {"primary-key": 1}
    monkeypatch.setattr(type(TYPES["decimal"]), "compared", lambda self, values, column: values)
    by_hash, by_database = compare(dataset, text, asked)
    assert (by_hash["issue_counts"], by_database["issue_counts"]) == ({}, {"primary-key": 1})


def test_keys_without_repetition_are_not_asked_about(
    as_acme: TenantRef, asked: list[list[int] | None]
) -> None:
    upload(keyed(("integer",)), "key 0,note,amount\n1,,1\n2,,2\n")
    assert asked == [[]]


def test_two_keys_that_share_a_hash_are_two_keys(
    as_acme: TenantRef, monkeypatch: pytest.MonkeyPatch, asked: list[list[int] | None]
) -> None:
    monkeypatch.setattr(
        type(TYPES["integer"]), "compared", lambda self, values, column: values.str.slice(0, 1)
    )
    by_hash, by_database = compare(
        keyed(("integer",)), "key 0,note,amount\n10,,1\n11,,2\n12,,3\n11,,4\n", asked
    )
    assert asked[0] == [2, 3, 4, 5]
    assert by_hash == by_database
    assert by_hash["issue_counts"] == {"primary-key": 1}


def test_a_corrected_row_that_repeats_a_key_is_found(
    as_acme: TenantRef, asked: list[list[int] | None]
) -> None:
    job = upload(keyed(("decimal",)), "key 0,note,amount\n1.5,,1\nwrong,,2\n")
    assert asked == [[]]
    fix_rows(job=job, by=person(), cells={3: ["1.50", None, "2"]})
    assert work(job).issue_counts == {"primary-key": 1}
    assert asked == [[], None]


def sliced(dataset: Dataset, text: str, *, in_one_process: bool) -> tuple[ImportJob, int]:
    """Preview a file in slices of one chunk each; return how many they were, too."""
    job = services.create_import(dataset=dataset, file=io.BytesIO(text.encode()), name="k.csv", by=person())
    step, slices = Step(done=False), 0
    while not step.done:
        if not in_one_process:
            keyhashes._left.clear()
        job = ImportJob.objects.select_related("dataset").get(pk=job.pk)
        step = preview.run(job, ShortSlice(step.cursor))
        slices += 1
    return job, slices


@pytest.mark.parametrize("in_one_process", [True, False], ids=["one process", "several"])
def test_slices_find_what_one_slice_finds(
    as_acme: TenantRef,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[list[int] | None],
    in_one_process: bool,
) -> None:
    dataset, text = keyed(("decimal",)), made_file(random.Random(7), ("decimal",), ",")
    whole = upload(dataset, text)
    monkeypatch.setattr(preview, "read_chunks", functools.partial(read_chunks, size=300))
    job, slices = sliced(dataset, text, in_one_process=in_one_process)
    assert slices > 6
    assert job.state == State.PREVIEW_SUCCEEDED
    assert asked == [asked[0], asked[0] if in_one_process else None]
    assert asked[0]
    assert outcome(job) == outcome(whole)


def test_hashes_go_on_only_where_they_ended() -> None:
    (end, other), hashes = (Position(10, 2, 2), Position(11, 2, 2)), KeyHashes()
    keyhashes.leave("one", end, hashes)
    assert keyhashes.take_up("two", end) is None
    assert keyhashes.take_up("one", end) is hashes
    assert keyhashes.take_up("one", end) is None  # that slice may have been undone
    keyhashes.leave("one", end, hashes)
    assert keyhashes.take_up("one", other) is None
    keyhashes.leave("one", end, hashes)
    keyhashes.leave("two", other, None)
    assert keyhashes.take_up("one", end) is None


def test_there_are_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    column = ColumnSpec(1, "k", "integer")
    monkeypatch.setattr(keyhashes, "MOST_ROWS", 6)
    monkeypatch.setattr(keyhashes, "MOST_SUSPECTS", 3)

    def of(*texts: str) -> KeyHashes:
        hashes = KeyHashes()
        for some in itertools.batched(texts, 2):
            hashes.add(hashes_of(column, list(some)))
        return hashes

    assert of("1", "2", "3", "4", "5", "1").suspects() == [0, 1]
    assert of("1", "2", "3", "4", "5", "6").suspects() == []
    assert of("1", "2", "2", "1").suspects() is None
    too_many = of("1", "2", "3", "4", "5", "6", "7")
    too_many.add(hashes_of(column, ["8"]))
    assert not too_many.are_known
    assert too_many.suspects() is None
