"""How much a mapping may say: its texts are written again in every row of a file.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from importer.mapping.match import Match

MOST_TEXT = 10_000  # characters of a constant or a default
MOST_MARK = 100  # of what cells are split at or joined with
MOST_WORD = 1_000  # of one side of a value map, or of one word
MOST_WORDS = 1_000  # pairs of a value map, words of one kind
MOST_JOINED = 20  # labels behind one label
MOST_READINGS = 50  # columns and joins that one label serves
MOST_IN_A_ROW = 20_000  # characters that all recipes together add to a row
MOST_IN_ALL = 1_000_000  # characters of all texts together, and bytes of a mapping's JSON
WORDS = ("null_words", "true_words", "false_words")


def excesses(match: Match) -> Iterator[tuple[str, str]]:
    """Yield the field and the sentence of everything a match says too much of."""
    recipe = match.recipe
    for name, limit in (
        ("constant", MOST_TEXT), ("default", MOST_TEXT), ("separator", MOST_MARK), ("split", MOST_MARK),
    ):  # fmt: skip
        length = len(getattr(recipe, name) or "")
        if length > limit:
            yield name, f"The text has {length:,} characters; at most {limit:,} fit here. Shorten it."
    if len(recipe.joined) > MOST_JOINED:
        yield "joined", f"{len(recipe.joined):,} labels are joined; at most {MOST_JOINED} can be."
    if len(recipe.values) > MOST_WORDS:
        rule = f"There are {len(recipe.values):,} values to replace; at most {MOST_WORDS:,} can be."
        yield "values", f"{rule} Replace the others in the file."
    elif any(len(text or "") > MOST_WORD for pair in recipe.values for text in pair):
        yield "values", f"A value has more than {MOST_WORD:,} characters. Replace only shorter ones."
    for name in WORDS:
        words = getattr(match.reading, name)
        if len(words) > MOST_WORDS or any(len(word) > MOST_WORD for word in words):
            yield name, f"Say at most {MOST_WORDS:,} words of at most {MOST_WORD:,} characters each."


def excesses_in_all(matches: Sequence[Match]) -> Iterator[tuple[int, str, str]]:
    """Yield the place, field and sentence of what single matches may say, and all of them together may not."""
    if at := _first_beyond(MOST_IN_ALL, [_size(match) for match in matches]):
        rule = f"The texts of this mapping have more than {MOST_IN_ALL:,} characters in all. Say less here."
        yield at - 1, "values", rule
    if at := _first_beyond(MOST_IN_A_ROW, [_added(match) for match in matches]):
        rule = f"This mapping adds more than {MOST_IN_A_ROW:,} characters to a row in all. Use shorter texts."
        yield at - 1, "constant" if matches[at - 1].recipe.constant else "default", rule
    served = Counter[int]()
    for at, match in enumerate(matches):
        served.update(position for position in (match.position, *match.recipe.joined) if position >= 0)
        if served[match.position] == MOST_READINGS + 1:
            rule = f"“{match.label}” serves more than {MOST_READINGS} columns and joins. Let it serve fewer."
            yield at, "column", rule
    for at, match in enumerate(matches):
        if any(served[position] > MOST_READINGS for position in match.recipe.joined):
            rule = (
                f"A label joined here serves more than {MOST_READINGS} columns and joins. Join it to fewer."
            )
            yield at, "joined", rule


def _first_beyond(limit: int, sizes: Sequence[int]) -> int:
    """Return the number of the first one, from 1, with which the sum is beyond the limit; 0 if it never is."""
    total = 0
    for number, size in enumerate(sizes, start=1):
        total += size
        if total > limit:
            return number
    return 0


def _size(match: Match) -> int:
    recipe, reading = match.recipe, match.reading
    texts = [recipe.constant, recipe.default, recipe.separator, recipe.split]
    texts += [text for pair in recipe.values for text in pair]
    texts += [word for name in WORDS for word in getattr(reading, name)]
    return sum(len(text or "") for text in texts)


def _added(match: Match) -> int:
    """Return by how many characters the match's cell may be longer than those it is made of."""
    recipe = match.recipe
    written = max((len(new or "") for _, new in recipe.values), default=0)
    texts = max(len(recipe.constant or ""), len(recipe.default or ""), written)
    return texts + len(recipe.separator) * len(recipe.joined)
