"""What an export wrote, an import reads back: no record changes, whatever is in it."""

from __future__ import annotations

import csv
import datetime as dt
import io
import random
from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from exporter.models import ExportFile
from exporter.tests.helpers import Row, column, content, export, insert
from importer.models import ImportJob
from importer.tests.tools import merge, upload
from importer.tests.tools import records as stored

COLUMNS = (
    column("text"),
    column("note", "long_text"),
    column("count", "integer"),
    column("amount", "decimal", precision=30, scale=6),
    column("paid", "boolean"),
    column("day", "date"),
    column("at", "timestamp"),
    column("state", "choice", choices=("new", "it's done", "NULL", "a,b", '"', "é\u00a0")),
    column("opens", "time"),
    column("tags", "multi_choice", choices=("new", "a,b", '"', "=1+1", "é")),
    column("mail", "email"),
    column("page", "url"),
    column("call", "phone"),
    column("ref", "uuid"),
    column("data", "json"),
    column('a "quoted", label', is_required=True),
)
WHOLE = st.integers(-(2**63), 2**63 - 1).map(str)
PIECES = (
    '"', '""', ",", ";", "\t", "|", "\n", "\r\n", "\r", "\n\n", " ", "  ", "=1+1", "+1", "-1", "@a", "'", "\u00a0",
    "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "👩\u200d👧", "𝒳", "\ufeff", "\u200b", "\u202e", "e\u0301", "é",
    "ß", "NULL", "null", "\\N", "\\.", "\\", "\\n", "NA", "#N/A", "true", "0", "007", "1e5", "1,234.50", "31/12/2026",
    "2026-12-31", "sep=;", "#", "--", "%s", "{0}", "$1", "\x01", "\x1f", "\x7f", "\ufffd", "_x000D_", "<b>", "a",
)  # fmt: skip
TEXT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    st.lists(st.sampled_from(PIECES), max_size=5).map("".join),
)
AMOUNT = st.decimals(min_value=-(10**23), max_value=10**23, places=6).map(lambda number: f"{number or 0:f}")
DAY = st.dates().map(str)
MOMENT = st.datetimes().map(
    lambda at: at.isoformat().rstrip("0") + "Z" if at.microsecond else at.isoformat() + "Z"
)
FURTHER = (
    st.times().map(lambda at: at.isoformat().rstrip("0") if at.microsecond else at.isoformat()),
    st.sets(st.sampled_from(COLUMNS[9].options.choices), min_size=1).map(
        lambda chosen: "; ".join(one for one in COLUMNS[9].options.choices if one in chosen)
    ),
    st.sampled_from(("a.b+c@example.org", "O'Neil@münchen.example", "=x@example.co.uk")),
    st.sampled_from(("https://example.org/?a=1,2;3#é", "http://[2001:db8::1]:80", "http://wiki/'x'")),
    st.sampled_from(("+4930123456", "+12025550143", "+39066982")),
    st.uuids().map(str),
    st.sampled_from(('{"a": [1.10, "x, \\"y\\"\\n"], "bb": null}', "null", "100000", '""', "[]")),
)
RECORD = st.tuples(
    *(
        st.none() | one
        for one in (TEXT, TEXT, WHOLE, AMOUNT, st.sampled_from(["true", "false"]), DAY, MOMENT)
    ),
    st.none() | st.sampled_from(COLUMNS[7].options.choices),
    *(st.none() | one for one in FURTHER),
    TEXT.map(lambda text: text or "-"),
)


@pytest.fixture
def tenant(committed_tenants: list[TenantRef]) -> TenantRef:
    """A tenant whose data is committed: an export reads through a connection of its own."""
    return committed_tenants[0]


def make(key: str, slug: str, columns: Sequence[NewColumn] = COLUMNS) -> Dataset:
    """An empty dataset of every type; its key has the type `key`."""
    return create_dataset(title=slug, slug=slug, columns=(column("id", key), *columns), key=["id"])


def fill(dataset: Dataset, records: Sequence[Row]) -> None:
    """Give the dataset these records and no others."""
    with connection.cursor() as cursor:
        cursor.execute(f'DELETE FROM "{dataset.spec().table}"')
    insert(dataset, records)


def exported(dataset: Dataset, **form: str) -> bytes:
    return content(export(None, [dataset], **form).files.get(dataset=dataset))


def forget_exports() -> None:
    """Let nobody know by its bytes what a file was written as: then the file itself must say it."""
    ExportFile.objects.all().delete()


def outcome(job: ImportJob) -> tuple[str, str | dict[str, int], tuple[int, ...]]:
    counts = (job.created_rows, job.updated_rows, job.unchanged_rows, job.rejected_rows)
    return job.state, job.error or job.issue_counts, counts


def check_round_trip(dataset: Dataset, records: Sequence[Row]) -> None:
    """Export, import over itself, then into the emptied dataset, and export again."""
    fill(dataset, records)
    file = exported(dataset)
    assert outcome(upload(dataset, file)) == ("PREVIEW_SUCCEEDED", {}, (0, 0, len(records), 0))
    fill(dataset, ())
    job = merge(upload(dataset, file))
    assert outcome(job) == ("IMPORT_SUCCEEDED", {}, (len(records), 0, 0, 0))
    assert exported(dataset) == file


@pytest.mark.case("V30")
def test_an_export_read_again_changes_nothing(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        by_number, by_text = make("integer", "numbered"), make("text", "named")

    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(RECORD, min_size=1, max_size=40),
        st.lists(TEXT.filter(bool), min_size=40, max_size=40, unique=True),
    )
    def check(records: list[Row], names: list[str]) -> None:
        with in_tenant(tenant):
            check_round_trip(by_number, [(str(at), *record) for at, record in enumerate(records)])
            check_round_trip(by_text, [(names[at], *record) for at, record in enumerate(records)])

    check()


FORMS: tuple[dict[str, str], ...] = (
    {"mode": "SPREADSHEET"},
    {"mode": "SPREADSHEET", "delimiter": ";", "encoding": "utf-16"},
    {"delimiter": "\t", "encoding": "gb18030"},
    {"encoding": "utf-8-sig", "delimiter": "|"},
    {"format": "xlsx"},
    {"format": "xlsx", "mode": "SPREADSHEET"},
)


@pytest.mark.slow
@pytest.mark.case("V30", "O03", "O05")
def test_a_file_of_any_form_that_an_import_reads_changes_nothing(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        dataset = make("text", "forms")

    @settings(max_examples=6, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(RECORD, min_size=1, max_size=40),
        st.lists(TEXT.filter(bool), min_size=40, max_size=40, unique=True),
        st.sampled_from(FORMS),
    )
    def check(records: list[Row], names: list[str], form: dict[str, str]) -> None:
        with in_tenant(tenant):
            check_form(dataset, [(names[at], *record) for at, record in enumerate(records)], form)

    check()


@pytest.mark.slow
@pytest.mark.case("O03", "O05")
def test_thousands_of_nasty_texts_come_back_from_any_form(tenant: TenantRef) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 -- to try it again
    made = random.Random(seed)
    records = [(str(at), *_record(made)) for at in range(2_000)]
    with in_tenant(tenant):
        dataset = make("integer", "nasty-forms")
        for form in FORMS:
            check_form(dataset, records, form)


@pytest.mark.slow
@pytest.mark.case("O03")
def test_a_file_for_spreadsheets_that_was_edited_and_saved_there_comes_back_right(tenant: TenantRef) -> None:
    texts = ["=1+1", "'tis", "+49 30", "-", "@x", "plain", "it's", None]
    with in_tenant(tenant):
        dataset = make("integer", "edited", (column("=note"), column("n", "decimal", precision=9, scale=2)))
        fill(dataset, [(str(at), text, "-7.50") for at, text in enumerate(texts)])
        rows = list(csv.reader(io.StringIO(exported(dataset, mode="SPREADSHEET").decode("utf-8-sig"))))
        assert rows[0][1] == "'=note"
        rows[-1][1], rows[6][2] = "é", "-8"  # what a person changed
        saved = io.StringIO(newline="")
        csv.writer(saved, delimiter=";").writerows(rows)  # as Excel does it in Germany

        job = merge(upload(dataset, saved.getvalue().encode("cp1252"), overrides={"encoding": "cp1252"}))

        assert outcome(job) == ("IMPORT_SUCCEEDED", {}, (0, 2, 6, 0))
        assert [row[1] for row in stored(dataset)] == [*texts[:-1], "é"]


def check_form(dataset: Dataset, records: Sequence[Row], form: dict[str, str]) -> None:
    fill(dataset, records)
    file = exported(dataset, **form)
    name = "records.xlsx" if form.get("format") == "xlsx" else "records.csv"
    assert outcome(upload(dataset, file, name=name)) == ("PREVIEW_SUCCEEDED", {}, (0, 0, len(records), 0))
    if form.get("mode") == "SPREADSHEET" and "delimiter" not in form:
        forget_exports()
        assert outcome(upload(dataset, file, name=name)) == ("PREVIEW_SUCCEEDED", {}, (0, 0, len(records), 0))


@pytest.mark.slow
@pytest.mark.case("V30", "O06")
def test_ten_thousand_records_of_nasty_texts_come_back_as_they_were(tenant: TenantRef) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 -- to try it again
    made = random.Random(seed)
    records = [(str(at), *_record(made)) for at in range(10_000)]
    with in_tenant(tenant):
        check_round_trip(make("integer", "many"), records)


def _record(made: random.Random) -> Row:
    def text() -> str:
        return "".join(made.choices(PIECES, k=made.choice((0, 1, 1, 2, 3, 6))))

    day = dt.date.fromordinal(made.randint(1, dt.date.max.toordinal()))
    second = f"{made.randrange(24):02}:{made.randrange(60):02}:{made.randrange(60):02}"
    fraction = made.choice(("", ".5", ".000001", ".12", ".999999"))
    values = (
        text(), text(), str(made.choice((0, -1, 2**63 - 1, -(2**63), made.randrange(10**12)))),
        f"{Decimal(made.randrange(-(10**29), 10**29)).scaleb(-6):.6f}", made.choice(("true", "false")), str(day),
        f"{day}T{second}{fraction}Z", made.choice(COLUMNS[7].options.choices), f"{second}{fraction}",
        "; ".join(one for one in COLUMNS[9].options.choices[1:] if made.random() < 0.5) or "new",
        f"{made.choice('abc')}@example.org", f"https://example.org/{made.randrange(99)}",
        f"+4915{made.randrange(10**9):09}",
        str(UUID(int=made.getrandbits(128))), f'{{"n": {made.randrange(99)}.50, "list": ["a", null, true]}}',
    )  # fmt: skip
    return (*(None if made.random() < 0.15 else value for value in values), text() or "-")


def test_a_file_without_the_last_line_end_or_with_other_ones_is_the_same(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        dataset = make("integer", "ends", (column("note"),))
        fill(dataset, [("1", "a b"), ("2", None), ("3", "")])
        file = exported(dataset)
        for same in (
            file.rstrip(b"\n"),
            file.replace(b"\n", b"\r\n"),
            b"\xef\xbb\xbf" + file,
            file + b"\n\n",
        ):
            assert outcome(upload(dataset, same))[2] == (0, 0, 3, 0)


def _text_cell(sheet: WriteOnlyWorksheet, text: str | None) -> Cell:
    """Return a cell of text whatever it begins with, its returns and what looks like one written as Excel does."""
    cell: Cell = WriteOnlyCell(sheet, text and text.replace("_x", "_x005F_x").replace("\r", "_x000D_"))
    if text:
        cell.data_type = "s"
    return cell


def _as_workbook(records: Sequence[Row], labels: Sequence[str]) -> bytes:
    """Write records as a person's workbook has them: numbers, days and yes or no as values of their own."""
    book, out = Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet("Data")
    sheet.append(labels)
    for number, text, note, count, amount, paid, day, at, state, opens, *others in records:
        is_small = count is not None and abs(int(count)) < 10**15
        texts = [_text_cell(sheet, value) for value in (text, note, at, state, *others)]
        sheet.append(
            [
                int(number or 0), *texts[:2], int(count) if count and is_small else count, amount,
                None if paid is None else paid == "true",
                dt.date.fromisoformat(day) if day and day > "1900-03-01" else day, *texts[2:4],
                opens if opens is None or "." in opens else dt.time.fromisoformat(opens), *texts[4:],
            ]
        )  # fmt: skip
    book.save(out)
    return out.getvalue()


@pytest.mark.case("V30")
def test_a_workbook_of_the_records_changes_nothing(tenant: TenantRef) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 -- to try it again
    made = random.Random(seed)
    records = [(str(at), *_tame(_record(made))) for at in range(2_000)]
    with in_tenant(tenant):
        dataset = make("integer", "book")
        fill(dataset, records)
        book = _as_workbook(records, [one.label for one in dataset.spec().columns])
        job = upload(dataset, book, name="records.xlsx")
        assert outcome(job) == ("PREVIEW_SUCCEEDED", {}, (0, 0, len(records), 0)), seed


def _tame(record: Row) -> Row:
    """Return the record without what no workbook holds: an empty text and control characters."""
    texts = [value and ILLEGAL_CHARACTERS_RE.sub("", value) for value in record]
    return (*(text or None for text in texts[:-1]), texts[-1] or "-")
