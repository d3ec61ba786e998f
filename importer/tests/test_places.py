"""Rows that SQL refuses are found again where they stand in the file, however it is written."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import connection

from datasets.models import Dataset
from importer import places, preview, rowpattern
from importer.models import ImportIssue, ImportJob, RejectedRow
from importer.readers.csv import Chunk, read_chunks
from importer.staging import places_table
from importer.tests.tools import upload

ROWS = [f'{number},new,{number}.00,"{"a\nb" if number % 7 == 0 else "é"}"' for number in range(1, 41)]
AGAIN = ["3,new,1.00,again", "35,paid,2.5,", '3,sent,3.00,"x\ny"']
TEXT = "id,status,amount,note\n" + "\n".join([*ROWS, *AGAIN]) + "\n"
WAYS = {
    "utf-8": TEXT.encode(),
    "utf-8 with a mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "without the last line end": TEXT.removesuffix("\n").encode(),
    "crlf": TEXT.replace("\n", "\r\n").encode(),
    "utf-16": TEXT.encode("utf-16"),
    "cp1252": TEXT.encode("cp1252"),
    "rewritten": TEXT.replace("5,new,5.00,", "5,new,5.00, ").replace("new,9.00", '"new","9.00"').encode(),
    "lone returns": TEXT.replace("a\nb", "a").replace("x\ny", "x").replace("\n", "\r").encode(),
}


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> list[Chunk]:
    """Read files in pieces of a few rows; the list has the chunks that were looked at for refused rows."""
    looked_at: list[Chunk] = []

    def noting(*given: Any) -> Any:
        for chunk in right(*given):
            looked_at.append(chunk)
            yield chunk

    right = places.chunks_with_refused
    monkeypatch.setattr(preview, "read_chunks", partial(read_chunks, size=100))
    monkeypatch.setattr(places, "read_chunks", partial(read_chunks, size=100))
    monkeypatch.setattr(preview, "chunks_with_refused", noting)
    return looked_at


def rejected(job: ImportJob) -> list[tuple[Any, ...]]:
    return list(RejectedRow.objects.filter(job=job).order_by("row").values_list("row", "line", "cells"))


def rules(job: ImportJob) -> list[str]:
    return list(ImportIssue.objects.filter(job=job).order_by("row").values_list("rule", flat=True))


@pytest.mark.parametrize("way", WAYS)
def test_they_are_kept_with_their_rows_lines_and_cells(
    orders: Dataset, in_pieces: list[Chunk], way: str
) -> None:
    job = upload(orders, WAYS[way])
    more = 0 if way == "lone returns" else 5  # lines within cells before the repetitions
    last = "x" if way == "lone returns" else "x\r\ny" if way == "crlf" else "x\ny"
    assert rejected(job) == [
        (42, 42 + more, ["3", "new", "1.00", "again"]),
        (43, 43 + more, ["35", "paid", "2.5", None]),
        (44, 44 + more, ["3", "sent", "3.00", last]),
    ]
    of_35 = "36" if way == "lone returns" else "36 (line 40)"
    assert [rule.partition(" is that of row ")[2].partition(" already")[0] for rule in rules(job)] == [
        "4",
        of_35,
        "4",
    ]
    assert 1 < len(in_pieces) < 10  # of a good many more


def test_without_notes_the_whole_file_is_read(
    orders: Dataset, in_pieces: list[Chunk], monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = upload(orders, TEXT)
    few = len(in_pieces)
    in_pieces.clear()
    monkeypatch.setattr(places, "places_table", lambda _: "not_there")
    monkeypatch.setattr("importer.stage.noted", lambda *_: ("", b""))
    again = upload(orders, TEXT)
    assert len(in_pieces) > few
    assert (rejected(again), rules(again)) == (rejected(noted), rules(noted))


@pytest.mark.parametrize("way", WAYS)
def test_the_same_is_kept_when_pieces_of_chunks_are_noted(
    orders: Dataset, in_pieces: list[Chunk], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    whole = upload(orders, WAYS[way])
    monkeypatch.setattr(preview, "read_chunks", read_chunks)
    monkeypatch.setattr(rowpattern, "MARKED_ROWS", 3)
    in_pieces.clear()
    pieces = upload(orders, WAYS[way])
    assert (rejected(pieces), rules(pieces)) == (rejected(whole), rules(whole))
    if way in ("utf-8", "crlf", "utf-8 with a mark", "without the last line end"):
        # The three rows that are refused, the two they repeat; a piece has three rows.
        assert [chunk.rows for chunk in in_pieces] == [3, 3, 3, 1]


def test_rows_that_all_repeat_one_are_told_its_line(orders: Dataset) -> None:
    rows = ["1,new,1.00,first", *(f"{number},new,1.00,x" for number in range(2, 400))]
    again = [f"1,paid,2.00,{number}" for number in range(300)]
    job = upload(orders, "id,status,amount,note\n" + "\n".join([*rows, *again]) + "\n")
    assert len(rejected(job)) == 300
    assert set(rules(job)) == {"The key is that of row 2 already; the first row counts."}


def test_every_chunk_is_noted_once(orders: Dataset, in_pieces: list[Chunk]) -> None:
    job = upload(orders, TEXT)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT first_row, end_row FROM {places_table(job.pk)} ORDER BY 1")
        found = cursor.fetchall()
    assert [end for _, end in found[:-1]] == [first for first, _ in found[1:]]
    assert (found[0][0], found[-1][1]) == (2, 45)
