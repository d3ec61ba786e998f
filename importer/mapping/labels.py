"""When two labels mean the same, and how alike they are otherwise.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

CERTAIN_SCORE = 90
SUGGESTED_SCORE = 70
ALIKE_AS_A_WHOLE = 75
SYMBOLS = "%‰#°+±<>="  # they change what a label means, as currencies do; other marks only divide words
Key = tuple[str, str]
# Each line: words that mean the same in the head of a table.
SYNONYMS: tuple[frozenset[str], ...] = tuple(
    frozenset(words.split(", "))
    for words in (
        "id, identifier, no, nr, number, num, key, ref, reference",
        "code, short code, abbreviation, abbr",
        "name, title, full name, label, designation",
        "first name, given name, forename",
        "last name, surname, family name",
        "email, e mail, mail, email address, e mail address, mail address",
        "phone, tel, telephone, phone number, telephone number, tel no, mobile, cell phone",
        "country, country code, iso country, iso country code, nation",
        "region, state, province, iso region",
        "city, town, municipality, place",
        "postcode, postal code, zip, zip code, plz",
        "address, street, street address",
        "lat, latitude, latitude deg, lat deg",
        "lon, lng, long, longitude, longitude deg, lon deg, lng deg",
        "elevation, altitude, elev, alt, height, elevation ft, altitude ft",
        "qty, quantity, count, pieces, pcs",
        "price, amount, cost, value, unit price",
        "date, day, on",
        "time, timestamp, datetime, date time",
        "created, created at, creation date, date created",
        "updated, updated at, modified, modified at, last modified, last updated",
        "description, comment, comments, note, notes, remark, remarks",
        "type, kind, category, class",
        "status, state of, condition",
        "url, link, website, web site, homepage, home page, home link",
        "currency, currency code",
        "language, lang, language code",
        "company, organisation, organization, firm, employer",
        "keywords, tags",
    )
)


def normalise(label: str) -> str:
    """Return a label as it is compared: folded, marks and separators as single spaces.

    >>> normalise(" ISO_Country-Code*")
    'iso country code'
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", label))
    folded = unicodedata.normalize("NFKC", words.casefold())
    return " ".join(re.sub(r"[\W_]+", " ", folded).split()) or folded.strip()


def folded(label: str) -> str:
    """Return a label without surrounding blanks and case: nearer to the label than `normalise`."""
    return label.strip().casefold()


def key_of(label: str) -> Key:
    """Return what two labels share that mean the same: the words, and the symbols among them.

    >>> key_of("Growth_%") == key_of("growth %") != key_of("Growth")
    True
    """
    return normalise(label), _symbols(label)


def is_headless(labels: Sequence[str]) -> bool:
    """Return whether the file has no labels, only numbers of columns."""
    return bool(labels) and all(label == f"column {at}" for at, label in enumerate(labels, start=1))


def _symbols(label: str) -> str:
    text = unicodedata.normalize("NFKC", label)
    return "".join(sign for sign in text if sign in SYMBOLS or unicodedata.category(sign) == "Sc")


def are_synonyms(one: Key, other: Key) -> bool:
    """Return whether two labels are words for the same thing, with the same symbols."""
    return one[1] == other[1] and any(one[0] in words and other[0] in words for words in SYNONYMS)


def likeness(one: Key, other: Key) -> int:
    """Return 0 to 100. A name within a longer one ("birth name") is alike, but never certainly the same.

    Nor is one with another symbol: a price is no percentage of it.
    """
    from rapidfuzz import fuzz  # slow import  # noqa: PLC0415

    (name, symbols), (other_name, other_symbols) = one, other
    if name == other_name or are_synonyms((name, ""), (other_name, "")):
        return CERTAIN_SCORE - 1  # only the symbols differ, or it would have been matched before
    if len(name) <= 2 or len(other_name) <= 2:
        return 0
    score = int(fuzz.WRatio(name, other_name))
    is_alike = symbols == other_symbols and fuzz.ratio(name, other_name) >= ALIKE_AS_A_WHOLE
    return score if is_alike else min(score, CERTAIN_SCORE - 1)
