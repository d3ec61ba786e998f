"""Pools of plausible words for a column, by what its label says. Pure; the same seed gives the same pool."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faker import Faker

POOL = 400
LOCALES = ("en_US", "de_DE", "fr_FR")
type Word = Callable[[Faker], str]

# The first that is found in the label counts; words are looked for in its lower case.
BY_LABEL: tuple[tuple[str, Word], ...] = (
    (r"e-?mail", lambda fake: re.sub(r"\d+(?=.*@)", "", fake.safe_email())),
    (r"first.?name|given.?name|forename|vorname", lambda fake: fake.first_name()),
    (r"last.?name|surname|family.?name|nachname", lambda fake: fake.last_name()),
    (r"user.?name|login", lambda fake: fake.user_name()),
    (r"company|firm|supplier|vendor|employer|organi[sz]ation", lambda fake: fake.company()),
    (r"country.?code", lambda fake: fake.country_code()),
    (r"country|land", lambda fake: fake.country()),
    (r"post.?code|zip|postal", lambda fake: fake.postcode()),
    (r"city|town|place|ort", lambda fake: fake.city()),
    (r"street|address", lambda fake: fake.street_address()),
    (r"phone|mobile|fax|\btel\b", lambda fake: fake.phone_number()),
    (r"url|web|link|site", lambda fake: fake.url()),
    (r"currency", lambda fake: fake.currency_code()),
    (r"iban|account", lambda fake: fake.iban()),
    (r"job|occupation|role|position", lambda fake: fake.job()),
    (r"colou?r", lambda fake: fake.color_name()),
    (r"sku|code|number|\bno\b|reference|\bref\b|\bid\b|uuid", lambda fake: fake.bothify("??-#####").upper()),
    (r"note|comment|description|remark|text|message", lambda fake: fake.sentence(nb_words=8)),
    (r"name|person|customer|client|contact|owner|author|by$", lambda fake: fake.name()),
)


def words_for(label: str, seed: int, *, is_long: bool = False) -> tuple[str, ...]:
    """Return a pool of different words for a column of this label; `is_long` words have several lines."""
    from faker import Faker  # slow import  # noqa: PLC0415

    word = _lines if is_long else _word_of(label)
    pool: dict[str, None] = {}
    for at, locale in enumerate(LOCALES):
        fake = Faker(locale)
        fake.seed_instance(f"{seed}/{label}/{at}")
        pool |= dict.fromkeys(_clean(word(fake)) for _ in range(POOL // len(LOCALES)))
    return tuple(text for text in pool if text and not re.search(r" #\d+$", text))


def _word_of(label: str) -> Word:
    found = (word for pattern, word in BY_LABEL if re.search(pattern, label.lower()))
    return next(found, lambda fake: " ".join(fake.words(2)).capitalize())


def _lines(fake: Faker) -> str:
    return f"{fake.sentence(nb_words=6)}\n{fake.sentence(nb_words=10)}"


def _clean(text: str) -> str:
    return text.strip().replace("\r", "")
