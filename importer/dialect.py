"""How a file is written: encoding, delimiter, quote and header row. Found by looking, changed by a person.

Pure: no Django, no storage, no clock. Every step is linear in the sample, whatever the bytes.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from importer import voting
from importer.choices import Choices
from importer.encodings import ENCODINGS, chosen_encoding, find_encoding, first_beyond_ascii
from importer.gate import HEAD_BYTES
from importer.header import Header, find_header, join_labels, make_labels
from importer.issues import BadOverride, EmptyFile, EncodingDoubtful, NotTabular, visible
from importer.readers.apostrophes import Evidence, may_hold_signs, unsigned
from importer.readers.csv import read_chunks
from importer.readers.footer import last_lines, looks_like_note
from importer.readers.grammar import Grammar, Record, grammar_of
from importer.readers.splitting import MAX_RECORD_BYTES
from importer.readers.text import BOMS, escape_bad_bytes

__all__ = ["DELIMITERS", "ENCODINGS", "Dialect", "Sniffed", "sniff", "sniff_path"]

DELIMITERS: dict[str, str] = {",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Vertical bar"}
MAX_LABELS = 1_600  # PostgreSQL's own limit of columns
SHOWN_RECORDS = 20
BLOCK_BYTES = 4 << 20  # what is looked at in one go for the first letter beyond ASCII


@dataclass(frozen=True, slots=True)
class Dialect:
    """`delimiter` is one character, `quote` one or none; `header_row` counts records, 0 means no header.

    `header_rows` records, the last of them `header_row`, make the labels. `escape` makes a quote within quotes
    a character. `skips_space`: blanks after a delimiter are no part of the cell. The last `skip_footer` lines
    that hold anything are left out. `drops_apostrophes`: one before = + - @ at the beginning of a cell is a sign
    that a text follows, and no part of it.
    """

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    header_row: int = 1
    escape: str | None = None
    sheet: str | None = None
    header_rows: int = 1
    skips_space: bool = False
    skip_footer: int = 0
    drops_apostrophes: bool = False

    @property
    def grammar(self) -> Grammar:
        """How the file itself is written; the records of a chunk need only the delimiter and the quote."""
        return grammar_of(self.delimiter, self.quote, self.escape or "", skips_space=self.skips_space)

    @property
    def plain_grammar(self) -> Grammar:
        """How the records of a chunk are written."""
        return grammar_of(self.delimiter, self.quote)

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


def sniff_path(
    path: Path, *, overrides: Mapping[str, object] | None = None, known: Collection[str] = ()
) -> Sniffed:
    """Sniff a file: its beginning, and where nothing there tells, the first place further down that does.

    See `sniff`. The file is read once at most, in blocks.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if len(head) == HEAD_BYTES:  # a quote may close within a record's largest size
            head += file.read(MAX_RECORD_BYTES)
        is_whole = len(head) < HEAD_BYTES + MAX_RECORD_BYTES
        found = sniff(head, overrides=overrides, is_whole=is_whole, known=known)
        choices = Choices.of(overrides)
        has_lines = any(mark in head[-MAX_RECORD_BYTES:] for mark in (b"\n", b"\r"))
        if not is_whole and has_lines:  # what follows an endless line is not worth a look
            found = _sniff_further(path, head, found, choices)
        return _with_signs(path, _with_footer_doubt(path, found, choices), choices)


def _sniff_further(path: Path, head: bytes, found: Sniffed, choices: Choices) -> Sniffed:
    """Return what was found, with the encoding and the escape that only show beyond the head."""
    dialect, doubts = found.dialect, found.doubts
    seeks_encoding = not choices.encoding and dialect.encoding == "utf-8" and head.isascii()
    mark = b"\\" + dialect.quote.encode()
    seeks_escape = choices.escape is None and dialect.quote and not dialect.escape and mark not in head
    seeks_escape = seeks_escape and not dialect.encoding.startswith("utf-16")
    with path.open("rb") as file:
        file.seek(len(head))
        while (seeks_encoding or seeks_escape) and (block := file.read(BLOCK_BYTES)):
            begin = file.tell() - len(block)
            if seeks_encoding and not block.isascii():
                seeks_encoding = False
                window = _window(file, begin + first_beyond_ascii(block))
                encoding, said = find_encoding(window)
                dialect, doubts = replace(dialect, encoding=encoding), (*doubts, *said)
                file.seek(begin + len(block))
            if seeks_escape and (at := _find(block, mark)) >= 0:
                seeks_escape = False
                window = _window(file, begin + at)
                if voting.find_escape(window, dialect.delimiter, dialect.quote):
                    dialect, doubts = replace(dialect, escape="\\"), (*doubts, _escape_doubt(dialect.quote))
                file.seek(begin + len(block))
    return replace(found, dialect=dialect, doubts=doubts)


def _find(block: bytes, mark: bytes) -> int:
    """Return where a mark of two bytes stands, or -1: one byte is found much faster, and it is rare."""
    at = block.find(mark[:1])
    return block.find(mark, at) if at >= 0 else -1


def _window(file: Any, at: int) -> bytes:
    """Return what follows the line end before `at`, as much as is looked at of a head."""
    begin = max(0, at - HEAD_BYTES // 4)
    file.seek(begin)
    data: bytes = file.read(HEAD_BYTES)
    cut = data.rfind(b"\n", 0, at - begin) + 1
    return data[cut or at - begin :]


def _with_signs(path: Path, found: Sniffed, choices: Choices) -> Sniffed:
    """Return what was found, read as if apostrophes before formulas were signs if they are.

    That is guessed only of a file as spreadsheet programs write them, if each text that would need the sign has it.
    """
    drops, doubts = choices.drops_apostrophes, found.doubts
    if drops is None and found.dialect.quote != "'" and _is_of_spreadsheet(path, found.dialect):
        seen = _signs_in(path, found.dialect)
        drops = seen.signed > 0 and not seen.unsigned
        doubts = (*doubts, *_signs_doubt(seen))
    if not drops:
        return replace(found, doubts=doubts)
    return replace(
        found,
        dialect=replace(found.dialect, drops_apostrophes=True),
        labels=make_labels([unsigned(label) for label in found.labels]),
        samples=tuple(tuple(cell and unsigned(cell) for cell in row) for row in found.samples),
        doubts=doubts,
    )


def _signs_doubt(seen: Evidence) -> tuple[str, ...]:
    if not seen.signed:
        return ()
    cells = "1 cell begins" if seen.signed == 1 else f"{seen.signed:,} cells begin"
    said = (
        f"{cells} with an apostrophe before =, +, -, @ or another apostrophe, as “{visible(seen.example)}”. "
    )
    if seen.unsigned:
        return (
            said + "It is read as part of the text, because other cells begin so without one. "
            "Choose to leave it out if it is the sign that a text follows.",
        )
    return (
        said + "It is read as the sign that a text follows, and left out. "
        "Choose to keep it if it is part of the text.",
    )


def _is_of_spreadsheet(path: Path, dialect: Dialect) -> bool:
    """Return whether a file is written as spreadsheet programs do it; other programs do none of this."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return (
        dialect.encoding != "utf-8"
        or dialect.delimiter in (";", "\t")
        or head.startswith(BOMS["utf-8"])
        or head[: head.find(b"\n") + 1].endswith(b"\r\n")
    )


def _signs_in(path: Path, dialect: Dialect) -> Evidence:
    """Return what all cells of a file say about apostrophes; the most files have none and are searched fast."""
    seen = Evidence()
    if not dialect.encoding.startswith("utf-16") and not _may_hold_signs(path):
        return seen
    for chunk in read_chunks(path, replace(dialect, header_row=0)):
        seen.look(chunk.data, dialect.delimiter, dialect.quote)
    return seen


def _may_hold_signs(path: Path) -> bool:
    before = b""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            if b"'" in block and may_hold_signs(before + block):
                return True
            before = block[-1:]  # a sign at the end of one block, its text in the next
    return False


def _with_footer_doubt(path: Path, found: Sniffed, choices: Choices) -> Sniffed:
    """Return what was found, with a doubt when the last line reads as a note or a total."""
    if choices.skip_footer is not None:
        return found
    with path.open("rb") as file:
        lines = last_lines(file, found.dialect.encoding)
    notes = 0
    for _, line in reversed(lines[-20:]):
        text = line + "\n"
        cells = next(found.dialect.grammar.records(text), None)
        if cells is None or not looks_like_note(cells.cells):
            break
        notes += 1
    if not notes or notes >= len(lines):
        return found
    last = "The last line looks" if notes == 1 else f"The last {notes} lines look"
    said = (
        f"{last} like a note or a total below the table. "
        f"Leave out {notes} {'line' if notes == 1 else 'lines'} of the footer if so."
    )
    return replace(found, doubts=(*found.doubts, said))


def sniff(
    head: bytes,
    *,
    overrides: Mapping[str, object] | None = None,
    is_whole: bool | None = None,
    known: Collection[str] = (),
) -> Sniffed:
    """Return the dialect of a file that begins with `head`: all of it (less than HEAD_BYTES unless said), or more.

    `overrides` may hold what `Choices` names; what a person chose is not doubted. None and "" mean not
    chosen (a quote or escape of "none" means that the file has none). `known` are the labels of what it goes into.

    :raises EmptyFile: there is nothing but blank lines.
    :raises EncodingDoubtful: the encoding must be chosen, or a label holds bytes that are no text.
    :raises NotTabular: no table that a dataset could hold.
    :raises BadOverride: a choice does not exist or does not fit the file.
    """
    choices = Choices.of(overrides)
    doubts: tuple[str, ...] = ()
    if choices.encoding:
        encoding = chosen_encoding(choices.encoding, head)
    else:
        encoding, doubts = find_encoding(head)
    text = _utf8(head, encoding)
    separator_row, named = voting.separator_line(text)
    body = text[text.find(b"\n") + 1 :] if separator_row else text
    grammar, said = _find_grammar(body, choices, choices.delimiter or named)
    records = _sample(text, grammar, is_whole=len(head) < HEAD_BYTES if is_whole is None else is_whole)
    if not any(not record.is_blank for record in records):
        raise EmptyFile("The file is empty. Upload a file that has a header row and the rows below it.")
    header = find_header(
        records,
        after=separator_row,
        chosen=choices.header_row_of(len(records)),
        rows=choices.header_rows,
        known=known,
    )
    labels = _labels(records, header)
    dialect = Dialect(
        encoding=encoding,
        delimiter=grammar.delimiter,
        quote=grammar.quote.decode(),
        header_row=header.row,
        escape=grammar.escape.decode() or None,
        sheet=choices.sheet,
        header_rows=min(header.rows, header.row),
        skips_space=grammar.skips_space,
        skip_footer=choices.skip_footer or 0,
    )
    rows = [record.cells[: len(labels)] for record in records[header.row :] if not record.is_blank]
    samples = tuple(tuple(_sample_text(cell) for cell in cells) for cells in rows[:SHOWN_RECORDS])
    return Sniffed(dialect, labels, samples, (*doubts, *said, *header.doubts))


def _find_grammar(text: bytes, choices: Choices, delimiter: str | None) -> tuple[Grammar, tuple[str, ...]]:
    """Return how the text is written, a person's choices first, and what is uncertain about it."""
    doubts: list[str] = []
    quote = choices.quote
    if quote is None:
        # A delimiter within single quotes may outvote the true one as long as the quotes are not known.
        voted = {each: delimiter or voting.vote(text, each) for each in voting.quotes_in(text)}
        quotes = {each: voting.find_quote(text, parting) for each, parting in voted.items()}
        quote = "'" if quotes.get("'") == "'" else quotes['"']
        delimiter = delimiter or voted.get(quote)
        if quote == "'":
            doubts.append(
                "Cells are read as quoted by ' (single quotes). Choose another quote if that is wrong."
            )
        elif not quote:
            doubts.append('Quotes (") are read as characters of the text. Choose the quote if that is wrong.')
    delimiter = delimiter or voting.vote(text, quote)
    if delimiter == " ":
        doubts.append("Cells are read as parted by blanks. Choose the delimiter if that is wrong.")
    escape = choices.escape
    if escape is None:
        escape = voting.find_escape(text, delimiter, quote)
        if escape:
            doubts.append(_escape_doubt(quote))
    skips_space = choices.skips_space
    if skips_space is None:
        skips_space = voting.finds_space(text, delimiter, quote)
        if skips_space:
            doubts.append(
                "Blanks after each delimiter are left out of the cells. Choose to keep them if that is wrong."
            )
    return grammar_of(delimiter, quote, escape, skips_space=skips_space), tuple(doubts)


def _escape_doubt(quote: str) -> str:
    return (
        f"A quote within a quoted cell is written \\{quote} in this file, and \\\\ is a backslash. "
        "Choose no escape if that is wrong."
    )


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


def _sample(text: bytes, grammar: Grammar, *, is_whole: bool) -> list[Record]:
    """Return the first complete records; the last one counts too when the file ends there."""
    found, _ = voting.first_records(text, grammar, is_end=is_whole)
    if not found and text.strip():
        raise NotTabular(
            "No complete row was found in the beginning of the file: its first row is too large, "
            "or a quote that opens there closes far below. Correct it and upload again."
        )
    return found


def _labels(records: Sequence[Record], header: Header) -> tuple[str, ...]:
    if header.row == 0:
        width = Counter(len(record.cells) for record in records if not record.is_blank).most_common(1)[0][0]
        labels = make_labels([None] * width)
    else:
        rows = [record.cells for record in records[max(0, header.row - header.rows) : header.row]]
        labels = make_labels(join_labels(rows) if len(rows) > 1 else rows[0])
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
