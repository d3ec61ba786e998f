"""Which encoding the bytes are in, and what to do when nobody can tell.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

from importer.gate import looks_like_utf16
from importer.issues import BadOverride, EncodingDoubtful
from importer.letters import best_encoding, best_wide_encoding
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
    "cp852": "Central European (DOS 852)",
    "cp1251": "Cyrillic (Windows-1251)",
    "koi8-r": "Cyrillic (KOI8-R)",
    "iso8859-5": "Cyrillic (ISO 8859-5)",
    "cp866": "Cyrillic (DOS 866)",
    "cp1253": "Greek (Windows-1253)",
    "iso8859-7": "Greek (ISO 8859-7)",
    "cp1254": "Turkish (Windows-1254)",
    "iso8859-9": "Turkish (ISO 8859-9)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "cp1257": "Baltic (Windows-1257)",
    "iso8859-13": "Baltic (ISO 8859-13)",
    "cp874": "Thai (Windows-874)",
    "mac-roman": "Western European (old Macintosh)",
    "cp437": "Western European (DOS 437)",
    "cp850": "Western European (DOS 850)",
    "cp932": "Japanese (Shift JIS)",
    "euc_jp": "Japanese (EUC)",
    "gb18030": "Chinese, simplified (GB 18030)",
    "big5": "Chinese, traditional (Big5)",
    "cp949": "Korean (Windows-949)",
}
GUESS_BYTES = 65_536
SHOWN_WORDS = 5
SHOWN_CHARACTERS = 24
_SAME = {codecs.lookup(name).name: name for name in ENCODINGS} | {"utf-8-sig": "utf-8", "ascii": "utf-8"}
_MULTIBYTE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xe0[\xa0-\xbf][\x80-\xbf]"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|[\xf1-\xf3][\x80-\xbf]{3}|\xf0[\x90-\xbf][\x80-\xbf]{2}|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
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
    beyond = len(_BEYOND_ASCII.findall(head))
    valid = sum(map(len, _MULTIBYTE.findall(head)))
    broken = sum(map(len, _BROKEN_UTF8.findall(head)))
    if valid >= (beyond - valid) * 2 or (broken and valid + broken == beyond):
        return "utf-8", (
            f"The file is UTF-8, but {bad} places in its beginning are not; those rows are refused.",
        )
    return _guess(head)


def first_beyond_ascii(block: bytes) -> int:
    """Return where the first byte beyond ASCII stands in a block that has one."""
    try:
        block.decode("ascii")
    except UnicodeDecodeError as error:
        return error.start
    return 0


def count_bad_utf8(head: bytes) -> int:
    """Return how many places of `head`, which may end within a character, are not UTF-8."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        text = codecs.getincrementaldecoder("utf-8")(errors="replace").decode(head)
        return max(1, text.count("\ufffd") - head.count(b"\xef\xbf\xbd"))
    return 0


def _guess(head: bytes) -> tuple[str, tuple[str, ...]]:
    sample = b"\n".join(_telling_lines(head))[:GUESS_BYTES]
    name = best_encoding(sample) or best_wide_encoding(sample) or best_encoding(sample, takes_poor=True)
    if name is None:
        raise EncodingDoubtful(
            "The encoding of the file could not be told from its letters. Choose the encoding."
        )
    words = ", ".join(f"“{word}”" for word in telling_words(sample, name))
    return name, (
        f"The file is not UTF-8. It is read as {ENCODINGS[name]}, a guess by its letters: {words}. "
        "If these words or those below are wrong, choose another encoding.",
    )


def telling_words(sample: bytes, encoding: str) -> list[str]:
    """Return a few words of the sample that hold more than ASCII, as the encoding reads them."""
    text = sample[:4096].decode(encoding, "ignore")
    words = (word for word in re.split(r"[\s,;|\"]+", text) if not word.isascii())
    return list(dict.fromkeys(word[:SHOWN_CHARACTERS] for word in words))[:SHOWN_WORDS]


def _telling_lines(head: bytes) -> Iterable[bytes]:
    """Return the lines that hold more than ASCII: the others say nothing about the encoding."""
    return (line for line in re.split(rb"[\r\n]+", head) if not line.isascii())
