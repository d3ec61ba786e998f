"""What a list may be asked for in its address."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpRequest

# What the filters of our lists put into the address; `in` and `isnull` come from choices.
_KINDS = frozenset({"", "exact", "in", "isnull", "gte", "lte", "gt", "lt", "id__exact", "id__in"})


class ListedLookups:
    """Mixin of an admin, before unfold's ModelAdmin: only fields it lists as filters, with plain comparisons.

    Django allows any lookup on any field of the model itself: `?password__startswith=` reads a hash letter by
    letter, `?name__regex=` runs whatever expression a person writes in the database.
    """

    list_filter: ClassVar[Any]
    model: Any

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        field, _, kind = lookup.partition("__")
        if not kind and field not in {one.name for one in self.model._meta.get_fields()}:
            return True  # a filter's own parameter (`created_at_from`), or a mistake that the list answers
        return kind in _KINDS and field in {_field(one) for one in self.list_filter}


MOST_DIGITS = 18


def number_of(text: object) -> int:
    """Return the number that a part of an address is, and 0, which is nobody's, for what is none.

    >>> number_of("12"), number_of(12), number_of("x"), number_of("9" * 40), number_of(None)
    (12, 12, 0, 0, 0)
    """
    word = str(text)
    return int(word) if word.isascii() and word.isdigit() and len(word) <= MOST_DIGITS else 0


def _field(listed: Any) -> str:
    first = listed[0] if isinstance(listed, tuple | list) else listed
    return str(first) if isinstance(first, str) else str(getattr(first, "parameter_name", ""))
