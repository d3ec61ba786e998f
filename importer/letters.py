"""Which encoding makes words of the bytes: by the letters languages use beside ASCII.

Pure: no Django, no storage, no clock. Linear in the sample.
"""

from __future__ import annotations

import codecs
import math
import re
from collections import Counter
from collections.abc import Iterable

WESTERN = (
    "äöüß", "àâæçéèêëîïôœùûüÿ", "áéíñóúüªº¿¡", "àáâãçéêíóôõúü", "àèéìíîòóù", "åäöæøé", "áéíóúýþæöð", "àçèéëíïòóúü",
)  # fmt: skip
CENTRAL = (
    "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž", "äöüß",
)  # fmt: skip
TURKISH = ("çğıöşüâîû",)
BALTIC = ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž")
# In the order in which equals are taken: the ones most files have first.
LATIN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cp1252", WESTERN), ("cp1250", CENTRAL), ("cp1254", TURKISH), ("cp1257", BALTIC), ("iso8859-15", WESTERN),
    ("iso8859-2", CENTRAL), ("iso8859-13", BALTIC), ("cp850", WESTERN), ("cp852", CENTRAL), ("mac-roman", WESTERN),
)  # fmt: skip
_RUSSIAN = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё"
_UKRAINIAN = "оаинветрсікдлумпяьзгбйчхєцжшюїфщґ"
_GREEK = "αοιετσνηυρπκμλςωίάόέήδγχθφύώβξζψϊϋΐΰ"
_HEBREW = "יוהלאתרבשמנםדעקחפכגסצטזןךץף"
_ARABIC = "اليمنوتربةعدسفهكقحجشطصخضذثئءغظؤزىإأآ"
_THAI = "านรอกเงยลสวมตทปัดี่คหจบขผชพไ้ิะแืุใซูโณ์ึถธฟศษ"
OTHER: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cp1251", (_RUSSIAN, _UKRAINIAN)), ("koi8-r", (_RUSSIAN,)), ("iso8859-5", (_RUSSIAN, _UKRAINIAN)),
    ("cp866", (_RUSSIAN,)), ("cp1253", (_GREEK,)), ("iso8859-7", (_GREEK,)), ("cp1255", (_HEBREW,)),
    ("cp1256", (_ARABIC,)), ("cp874", (_THAI,)),
)  # fmt: skip
# The common letters of each: syllables, and the ideographs that the standard puts first.
WIDE: tuple[tuple[str, tuple[tuple[re.Pattern[bytes], float], ...]], ...] = (
    (
        "cp932",
        (
            (re.compile(rb"[\x82\x83]."), 1.0),
            (re.compile(rb"[\x88-\x97].", re.DOTALL), 0.9),
            (re.compile(rb"\x81."), 0.7),
        ),
    ),
    (
        "gb18030",
        (
            (re.compile(rb"[\xb0-\xcf][\xa1-\xfe]"), 0.9),
            (re.compile(rb"[\xd0-\xd7][\xa1-\xfe]"), 0.95),
            (re.compile(rb"[\xa1\xa3]."), 0.7),
        ),
    ),
    (
        "euc_jp",
        (
            (re.compile(rb"[\xa4\xa5]."), 1.0),
            (re.compile(rb"[\xb0-\xcf]."), 0.92),
            (re.compile(rb"[\xa1\xa3]."), 0.7),
        ),
    ),
    ("big5", ((re.compile(rb"[\xa4-\xc6].", re.DOTALL), 0.9), (re.compile(rb"[\xa1-\xa3]."), 0.7))),
    ("cp949", ((re.compile(rb"[\xb0-\xc8][\xa1-\xfe]"), 0.97), (re.compile(rb"[\xa1\xa3]."), 0.7))),
)
_LEAST_WIDE = 0.6
_MARKS = set("“”„‚‘’«»‹›–—…•€£§©®™°²³¼½¾·×÷\u00a0\u00adªº¿¡‰№¥₪")
_BEHIND = set("®©™°²³¼½¾ªº")  # marks that stand behind a word or number, not before one
_SELDOM = set("þðý")  # letters of one language; a text of several is rather not written with them
_LEAST_LATIN = 0.7  # the share of letters a language must explain
_LEAST_OTHER = -3.6  # mean logarithm of a letter's frequency; words of the languages have about -3
_POOR_OTHER = -4.3
_FOREIGN = math.log(0.0005)
_WORD = re.compile(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*")


def best_encoding(sample: bytes, *, takes_poor: bool = False) -> str | None:
    """Return the encoding of one byte per letter that makes words of the sample, if one does, or poor ones."""
    words = _WORD.findall(sample)
    beyond = sum(sum(byte > 127 for byte in word) for word in words)
    if beyond < sum(map(len, words)) * 0.65:
        score, name = _best(LATIN, words, _share)
        return name if score >= _LEAST_LATIN else None
    score, name = _best(OTHER, words, _likelihood)
    if score >= (_POOR_OTHER if takes_poor else _LEAST_OTHER):
        return name
    share, latin = _best(LATIN, words, _share)
    return latin if share >= 0.95 and len(words) < 50 else None


def best_wide_encoding(sample: bytes) -> str | None:
    """Return the encoding of several bytes per letter whose common letters the sample is made of, if one is."""
    cut = sample[: sample.rfind(b"\n")] if b"\n" in sample else sample
    scores = []
    for rank, (name, kinds) in enumerate(WIDE):
        try:
            text = cut.decode(name)
        except UnicodeDecodeError:
            continue
        letters = [char.encode(name) for char in text if char > "\x7f"]
        if letters:
            worth = sum(
                next((worth for kind, worth in kinds if kind.fullmatch(letter)), 0.0) for letter in letters
            )
            scores.append((worth / len(letters), -rank, name))
    found = max(scores, default=(0.0, 0, None))
    return found[2] if found[0] >= _LEAST_WIDE else None


def _best(
    candidates: Iterable[tuple[str, tuple[str, ...]]], words: list[bytes], score: object
) -> tuple[float, str]:
    assert callable(score)
    scores = []
    for rank, (name, languages) in enumerate(candidates):
        decoded = codecs.lookup(name).decode(b"\n".join(words), "replace")[0].split("\n")
        scores.append((score(decoded, languages), -rank, name))
    found = max(scores)
    return found[0], found[2]


def _share(words: list[str], languages: tuple[str, ...]) -> float:
    """Return the share of letters beyond ASCII that one of the languages knows; a little less for all together."""
    counts: Counter[str] = Counter()
    spoilt = 0
    for word in words:
        before = ""
        for at, char in enumerate(word):
            if char > "\x7f":
                is_within = before.isalpha() and word[at + 1 : at + 2].isalpha()
                is_before = char in _BEHIND and word[at + 1 : at + 2].isalpha()
                if char in _MARKS and not is_before and not (is_within and char not in "’·\u00ad"):
                    counts["'"] += 1
                elif char.isalpha() and not (char.isupper() and before.islower()):
                    counts[char.lower().replace("i\u0307", "ı")] += 1
                else:
                    spoilt += 1
            before = char
    total = counts.total() + spoilt
    if not total:
        return 0.0
    shares = [(counts["'"] + sum(counts[letter] for letter in language)) / total for language in languages]
    together = (counts["'"] + sum(counts[letter] for letter in set("".join(languages)) - _SELDOM)) / total
    return max(*shares, together * 0.97) if len(shares) > 1 else max(shares)


def _likelihood(words: list[str], languages: tuple[str, ...]) -> float:
    """Return how likely the letters are in one of the languages: the mean logarithm of their frequencies."""
    counts: Counter[str] = Counter()
    spoilt = 0
    for word in words:
        before = ""
        for char in word:
            if char.isupper() and before.islower():
                spoilt += 1
            elif char > "\x7f" and char not in _MARKS:
                counts[char.lower()] += 1
            before = char
    total = counts.total() + spoilt
    if not total:
        return _FOREIGN
    return max(
        (sum(number * _frequency(letter, language) for letter, number in counts.items()) + spoilt * _FOREIGN)
        / total
        for language in languages
    )


def _frequency(letter: str, language: str) -> float:
    rank = language.find(letter)
    return math.log(0.11) + rank * math.log(0.91) if rank >= 0 else _FOREIGN
