"""Files that are refused as a whole, with a code and a sentence."""

from __future__ import annotations

import random

from importer.tests.corpus_csv.case import case

SOUP = "".join(random.Random(7).choice("\",\n\r;'\\ \t|a") for _ in range(65_536))

CASES = [
    case("nothing", b"", refusal="empty-file"),
    case("only-line-ends", "\n\n\r\n", refusal="empty-file"),
    case("only-delimiters", ",,,\n,,,\n", refusal="empty-file"),
    case("only-a-mark", b"\xef\xbb\xbf", refusal="empty-file"),
    case("only-a-utf-16-mark", b"\xff\xfe", refusal="empty-file"),
    case("quotes-and-line-ends", '"\n' * 40_000, refusal="empty-file"),
    case("one-line-of-quotes", '"a' * 1_000_000, refusal="not-tabular"),
    case("one-endless-line", "x" * 2_000_000, refusal="not-tabular"),
    case(
        "ten-thousand-columns",
        ",".join(["a"] * 10_000) + "\n" + ",".join(["1"] * 10_000) + "\n",
        refusal="not-tabular",
    ),
    case("one-column-too-many", ",".join(f"l{n}" for n in range(1_601)) + "\n", refusal="not-tabular"),
    case("gzip", b"\x1f\x8b\x08\x00" + b"\x00" * 20, refusal="wrong-file-kind"),
    case("pdf", b"%PDF-1.7\n1,2\n", refusal="wrong-file-kind"),
    case("web-page", b"<!DOCTYPE html><html><table></table></html>", refusal="wrong-file-kind"),
    case("xml", b'<?xml version="1.0"?><rows/>', refusal="wrong-file-kind"),
    case("binary", bytes(range(256)) * 40, refusal="wrong-file-kind"),
]
