"""Where the rows of a job's file stand, noted while they are staged: later, single ones are found at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from django.db import connection

from importer import staging
from importer.csvtext import csv_text
from importer.dialect import Dialect
from importer.models import ImportJob
from importer.readers.csv import Chunk, Mark, Position, read_chunks
from importer.staging import places_table, refused_table

FIELDS = (
    "first_row, end_row, first_line, end_line, begin_offset, begin_line, begin_row, data_offset, data_length"
)
AT_ONCE = 2_000  # places, in memory


class Place(NamedTuple):
    """A chunk or a piece of one: its rows and lines, where a reader begins for it, and its bytes if these are its data.

    `begin_offset` is None where reading begins with the header.
    """

    first_row: int
    end_row: int
    first_line: int
    end_line: int
    begin_offset: int | None
    begin_line: int | None
    begin_row: int | None
    data_offset: int | None
    data_length: int | None

    @property
    def begin(self) -> Position | None:
        if self.begin_offset is None or self.begin_line is None or self.begin_row is None:
            return None
        return Position(self.begin_offset, self.begin_line, self.begin_row)


def noted(job: ImportJob, chunk: Chunk, marks: Sequence[Mark], begin: Position | None) -> tuple[str, bytes]:
    """Return the COPY statement and its data that note a chunk, which is read from `begin` on.

    From mark to mark, if there are any and its bytes are the file's own: then single rows are found without the rest.
    """
    end = chunk.end
    start = (begin.offset, begin.line, begin.row) if begin else (None, None, None)
    whole = Place(
        chunk.first_row, end.row, chunk.first_line, end.line, start[0], start[1], start[2], None, None
    )
    places = [whole]
    if chunk.is_as_written:
        offset = end.offset - len(chunk.data)
        marked = [*(marks or [Mark(0, 0, 0)]), Mark(chunk.rows, chunk.lines, len(chunk.data))]
        places = [
            whole._replace(
                first_row=chunk.first_row + one.at, end_row=chunk.first_row + following.at,
                first_line=chunk.first_line + one.line, end_line=chunk.first_line + following.line,
                data_offset=offset + one.offset, data_length=following.offset - one.offset,
            )
            for one, following in pairwise(marked)
        ]  # fmt: skip
    return f"COPY {places_table(job.pk)} ({FIELDS}) FROM STDIN (FORMAT csv)", csv_text(places)


def chunks_with_refused(
    job: ImportJob, path: Path, dialect: Dialect, start: Position | None
) -> Iterator[Chunk]:
    """Yield the chunks from `start` on that hold a row refused in SQL, or one that such a row repeats.

    Where nothing was noted, by an earlier release, these are all chunks.
    """
    if not staging.exist(places_table(job.pk)):
        yield from read_chunks(path, dialect, start=start)
        return
    at = start or Position(row=0)
    for place in _places(job, at.row):
        is_begun = place.first_row < at.row  # a reader that begins elsewhere cuts chunks elsewhere
        if is_begun or place.data_offset is None or place.data_length is None:
            for chunk in read_chunks(path, dialect, start=at if is_begun else place.begin):
                yield chunk
                at = chunk.end
                if at.row >= place.end_row:
                    break
        else:
            chunk = _as_written(path, place, place.data_offset, place.data_length)
            yield chunk
            at = chunk.end


def _places(job: ImportJob, after: int) -> Iterator[Place]:
    refused = f"SELECT FROM {refused_table(job.pk)} b WHERE"
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {FIELDS} FROM {places_table(job.pk)} p WHERE end_row > %s"
                f" AND (EXISTS ({refused} b.rn >= p.first_row AND b.rn < p.end_row)"
                f" OR EXISTS ({refused} b.first >= p.first_row AND b.first < p.end_row))"
                f" ORDER BY first_row LIMIT {AT_ONCE}",
                [after],
            )
            found = [Place(*row) for row in cursor.fetchall()]
        yield from found
        if len(found) < AT_ONCE:
            return
        after = found[-1].end_row


def _as_written(path: Path, place: Place, offset: int, length: int) -> Chunk:
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    if not data.endswith(b"\n"):  # the file's last line may lack its end
        data += b"\n"
    end = Position(offset + length, place.end_line, place.end_row)
    rows = place.end_row - place.first_row
    return Chunk(data, place.first_line, place.first_row, rows, end, is_as_written=True)
