"""How a file is written: encoding, delimiter, quote and header row. Found by looking, changed by a person.

Pure: no Django, no storage, no clock. Every step is linear in the sample, whatever the bytes.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from importer.encodings import ENCODINGS, chosen_encoding, find_encoding
from importer.gate import HEAD_BYTES
from importer.header import find_header, make_labels
from importer.issues import BadOverride, EmptyFile, EncodingDoubtful, NotTabular, visible
from importer.readers.grammar import Grammar, Record, grammar_of
from importer.readers.text import BOMS, escape_bad_bytes

__all__ = ["DELIMITERS", "ENCODINGS", "Dialect", "Sniffed", "sniff", "sniff_path"]

DELIMITERS: dict[str, str] = {",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Vertical bar"}
MAX_LABELS = 1_600  # PostgreSQL's own limit of columns
SAMPLE_BYTES = 65_536  # what the vote reads, per delimiter
SAMPLE_RECORDS = 200
SHOWN_RECORDS = 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """`delimiter` is one character, `quote` one or none; `header_row` counts records, 0 means no header."""

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    header_row: int = 1
    escape: str | None = None  # kept for dialects to come; nothing reads it yet
    sheet: str | None = None

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        return cls(**{field.name: saved[field.name] for field in fields(cls) if field.name in saved})


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What was found: the labels, the first rows below them, and sentences about what is uncertain."""

    dialect: Dialect
    labels: tuple[str, ...]
    samples: tuple[tuple[str | None, ...], ...]
    doubts: tuple[str, ...]


def sniff_path(path: Path, *, overrides: Mapping[str, object] | None = None) -> Sniffed:
    """Sniff the beginning of a file; see `sniff`."""
    with path.open("rb") as file:
        return sniff(file.read(HEAD_BYTES), overrides=overrides)


def sniff(head: bytes, *, overrides: Mapping[str, object] | None = None) -> Sniffed:
    """Return the dialect of a file that begins with `head`: all of it, or its first HEAD_BYTES.

    `overrides` may hold encoding, delimiter, quote, header_row and sheet; what a person chose is not
    doubted. None and "" mean not chosen (a quote of "none" means that the file has no quotes).

    :raises EmptyFile: there is nothing but blank lines.
    :raises EncodingDoubtful: the encoding must be chosen, or a label holds bytes that are no text.
    :raises NotTabular: no table that a dataset could hold.
    :raises BadOverride: a choice does not exist or does not fit the file.
    """
    chosen = {name: value for name, value in (overrides or {}).items() if value not in (None, "")}
    doubts: tuple[str, ...] = ()
    if "encoding" in chosen:
        encoding = chosen_encoding(str(chosen["encoding"]), head)
    else:
        encoding, doubts = find_encoding(head)
    text = _utf8(head, encoding)
    quote = _chosen_quote(chosen)
    separator_row, named = _separator_line(text)
    delimiter = _chosen_delimiter(chosen) or named or _vote(text, quote)
    records = _sample(text, grammar_of(delimiter, quote), is_whole=len(head) < HEAD_BYTES)
    if not any(not record.is_blank for record in records):
        raise EmptyFile("The file is empty. Upload a file that has a header row and the rows below it.")
    header = find_header(records, after=separator_row, chosen=_chosen_header_row(chosen, len(records)))
    labels = _labels(records, header.row)
    dialect = Dialect(
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        header_row=header.row,
        sheet=str(chosen["sheet"]) if "sheet" in chosen else None,
    )
    body = [record.cells[: len(labels)] for record in records[header.row :] if not record.is_blank]
    samples = tuple(tuple(_sample_text(cell) for cell in cells) for cells in body[:SHOWN_RECORDS])
    return Sniffed(dialect, labels, samples, (*doubts, *header.doubts))


def _sample_text(cell: str | None) -> str | None:
    """Return a cell as the reader shows it: bad bytes and NUL escaped, for no database keeps them."""
    if cell is None:
        return None
    return visible(escape_bad_bytes(cell.encode("utf-8", "surrogatepass"))[0].decode())


def _utf8(head: bytes, encoding: str) -> bytes:
    """Return the head as UTF-8 with half pairs for bad bytes, without byte order mark and cut character."""
    raw = head.removeprefix(BOMS.get(encoding, b"\xff" * 8))
    errors = "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"
    try:
        text = codecs.getincrementaldecoder(encoding)(errors=errors).decode(raw)
    except UnicodeDecodeError as error:
        raise BadOverride(
            f"The file cannot be read as {ENCODINGS[encoding]}. Choose another encoding."
        ) from error
    return text.encode("utf-8", "surrogatepass")


def _sample(text: bytes, grammar: Grammar, *, is_whole: bool = True) -> list[Record]:
    """Return the first complete records; the last one counts too when the file ends there."""
    if is_whole and not text.endswith((b"\n", b"\r")):
        text += b"\n"
    data = grammar.unify_line_ends(text)
    found: list[Record] = []
    for begin, end in grammar.bounds(data):
        found.extend(grammar.records(data[begin:end].decode("utf-8", "surrogatepass")))
        if len(found) >= SAMPLE_RECORDS:
            break
    if not found and data.strip():
        raise NotTabular(
            "No complete row was found in the beginning of the file: "
            "a quote that opens there is never closed, or the first row is too large. Correct it and upload again."
        )
    return found


def _vote(text: bytes, quote: str) -> str:
    """Return the delimiter under which most records are equally wide; the wider one of equals."""
    scores = {}
    for delimiter in DELIMITERS:
        grammar = grammar_of(delimiter, quote)
        sample = (
            text[:SAMPLE_BYTES]
            if len(text) <= SAMPLE_BYTES
            else text[: text.rfind(b"\n", 0, SAMPLE_BYTES) + 1]
        )
        try:
            records = _sample(sample or text[:SAMPLE_BYTES], grammar)
        except NotTabular:
            continue
        widths = Counter(len(record.cells) for record in records if not record.is_blank)
        if widths:
            width, times = max(widths.items(), key=lambda item: (item[1], item[0]))
            scores[delimiter] = (round(times / widths.total(), 1), width) if width > 1 else (0.0, 0)
    best = max(scores, key=lambda delimiter: scores[delimiter], default=",")
    return best if scores.get(best, (0.0, 0))[1] else ","


def _separator_line(text: bytes) -> tuple[int, str | None]:
    """Return (1, delimiter) when the first line is a spreadsheet's `sep=;`, else (0, None)."""
    first = (text[:8].splitlines() or [b""])[0].decode("latin-1")
    if first[:4].lower() == "sep=" and first[4:] in DELIMITERS:
        return 1, first[4:]
    return 0, None


def _labels(records: list[Record], header_row: int) -> tuple[str, ...]:
    if header_row == 0:
        width = Counter(len(record.cells) for record in records if not record.is_blank).most_common(1)[0][0]
        labels = make_labels([None] * width)
    else:
        labels = make_labels(records[header_row - 1].cells)
        for position, label in enumerate(labels, start=1):
            shown, _, bad = escape_bad_bytes(label.encode("utf-8", "surrogatepass"))
            if bad:
                raise EncodingDoubtful(
                    f"The label of column {position} holds bytes that are no text in the file's encoding: "
                    f"{shown.decode()!r}. Choose the encoding, or correct the header row."
                )
    if len(labels) > MAX_LABELS:
        raise NotTabular(f"The file has {len(labels):,} columns; the limit is {MAX_LABELS:,}.")
    return labels


def _chosen_delimiter(chosen: Mapping[str, object]) -> str | None:
    if "delimiter" not in chosen:
        return None
    delimiter = {"\\t": "\t", "tab": "\t"}.get(str(chosen["delimiter"]), str(chosen["delimiter"]))
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\x00\x01' or delimiter.isalnum():
        raise BadOverride(
            f"{delimiter!r} cannot be the delimiter. Choose a comma, semicolon, tab or vertical bar."
        )
    return delimiter


def _chosen_quote(chosen: Mapping[str, object]) -> str:
    quote = str(chosen.get("quote", '"'))
    if quote == "none":
        return ""
    if quote not in ('"', "'"):
        raise BadOverride(f"{quote!r} cannot be the quote. Choose \", ' or none.")
    return quote


def _chosen_header_row(chosen: Mapping[str, object], rows: int) -> int | None:
    if "header_row" not in chosen:
        return None
    try:
        row = int(str(chosen["header_row"]))
    except ValueError:
        row = -1
    if not 0 <= row <= rows:
        raise BadOverride(f"The header row must be a number from 0 (no header) to {rows}.")
    return row
