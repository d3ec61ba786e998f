"""CSV text of a few rows, for COPY and for downloads. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence


def csv_text(rows: Iterable[Sequence[object]], delimiter: str = ",") -> bytes:
    """Return rows as UTF-8 CSV: None is an unquoted empty cell, "" a quoted one, other texts are quoted.

    >>> csv_text([(1, None, "", "a, b")])
    b'1,,"","a, b"\\r\\n'
    """
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_STRINGS).writerows(rows)
    return out.getvalue().encode()
