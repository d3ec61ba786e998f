"""Which encoding the bytes are in, and what to do when nobody can tell.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

from importer.gate import looks_like_utf16
from importer.issues import BadOverride, EncodingDoubtful
from importer.readers.text import BOMS

ENCODINGS: dict[str, str] = {
    "utf-8": "Unicode (UTF-8)",
    "utf-16-le": "Unicode (UTF-16, little-endian)",
    "utf-16-be": "Unicode (UTF-16, big-endian)",
    "cp1252": "Western European (Windows-1252)",
    "iso8859-1": "Western European (ISO 8859-1)",
    "iso8859-15": "Western European with € (ISO 8859-15)",
    "cp1250": "Central European (Windows-1250)",
    "iso8859-2": "Central European (ISO 8859-2)",
    "cp1251": "Cyrillic (Windows-1251)",
    "koi8-r": "Cyrillic (KOI8-R)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "cp1257": "Baltic (Windows-1257)",
    "mac-roman": "Western European (old Macintosh)",
    "cp437": "Western European (DOS 437)",
    "cp850": "Western European (DOS 850)",
    "cp932": "Japanese (Shift JIS)",
    "euc_jp": "Japanese (EUC)",
    "gb18030": "Chinese, simplified (GB 18030)",
    "big5": "Chinese, traditional (Big5)",
    "cp949": "Korean (Windows-949)",
}
# Guessed among these only: left to itself the guess reads Windows-1252 as a DOS code page.
GUESSED = (
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "koi8_r",
    "cp932",
    "gb18030",
    "big5",
    "cp949",
)
GUESS_BYTES = 65_536
_SAME = {codecs.lookup(name).name: name for name in ENCODINGS} | {"utf-8-sig": "utf-8", "ascii": "utf-8"}
_MULTIBYTE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xe0[\xa0-\xbf][\x80-\xbf]"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|[\xf1-\xf3][\x80-\xbf]{3}|\xf0[\x90-\xbf][\x80-\xbf]{2}|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
# What a broken writer of UTF-8 makes and no other encoding's text looks like: too long forms, halves of pairs.
_BROKEN_UTF8 = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xed[\xa0-\xbf][\x80-\xbf]")


def chosen_encoding(name: str, head: bytes) -> str:
    """Return the encoding a person chose, under our name for it.

    :raises BadOverride: it is none of ENCODINGS.
    """
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        found = ""
    if found == "utf-16":
        return "utf-16-be" if head.startswith(codecs.BOM_UTF16_BE) else "utf-16-le"
    if found not in _SAME:
        raise BadOverride(f"The encoding {name!r} is not known here. Choose one of: {', '.join(ENCODINGS)}.")
    return _SAME[found]


def find_encoding(head: bytes) -> tuple[str, tuple[str, ...]]:
    """Return (encoding, doubts): by byte order mark, as strict UTF-8, else by the frequency of letters.

    :raises EncodingDoubtful: a person must choose.
    """
    for name, mark in BOMS.items():
        if head.startswith(mark):
            return name, ()
    if wide := looks_like_utf16(head):
        raise EncodingDoubtful(
            f"The file looks like UTF-16 without a byte order mark. Choose the encoding: {wide} is likely."
        )
    bad = count_bad_utf8(head)
    if not bad:
        return "utf-8", ()
    if len(_MULTIBYTE.findall(head)) >= bad or _BROKEN_UTF8.search(head):
        return "utf-8", (
            f"The file is UTF-8, but {bad} places in its beginning are not; those rows are refused.",
        )
    return _guess(head)


def count_bad_utf8(head: bytes) -> int:
    """Return how many places of `head`, which may end within a character, are not UTF-8."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        text = codecs.getincrementaldecoder("utf-8")(errors="replace").decode(head)
        return max(1, text.count("\ufffd") - head.count(b"\xef\xbf\xbd"))
    return 0


def _guess(head: bytes) -> tuple[str, tuple[str, ...]]:
    from charset_normalizer import from_bytes  # slow import  # noqa: PLC0415

    sample = b"\n".join(_telling_lines(head))[:GUESS_BYTES]
    best = from_bytes(sample, cp_isolation=list(GUESSED), enable_fallback=False).best()
    if best is None:
        raise EncodingDoubtful(
            "The encoding of the file could not be told from its letters. Choose the encoding."
        )
    name = _SAME[codecs.lookup(best.encoding).name]
    if name != "cp1252" and sample.decode("cp1252", "replace") == sample.decode(name, "replace"):
        name = "cp1252"  # the same text: take the name most people know
    return name, (
        f"The file is not UTF-8. It is read as {ENCODINGS[name]}, a guess by its letters: "
        "look at the words with accents below and choose another encoding if they are wrong.",
    )


def _telling_lines(head: bytes) -> Iterable[bytes]:
    """Return the lines that hold more than ASCII: the others say nothing about the encoding."""
    return (line for line in re.split(rb"[\r\n]+", head) if not line.isascii())
