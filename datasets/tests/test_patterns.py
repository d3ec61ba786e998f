"""Patterns: one small language, of which the file's engine, PostgreSQL and a plain automaton say the same."""

from __future__ import annotations

from itertools import product

import polars as pl
import pytest
from django.db import connection
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from datasets.columntypes import TYPES, BadValue, Reading, check_cell
from datasets.columntypes.patterns import (
    MAX_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    BadPattern,
    Chars,
    Either,
    Node,
    Repeat,
    Row,
    all_fit,
    compiled,
    example,
    fits,
    sample,
    without,
)
from datasets.rules import NewColumn, problems
from datasets.spec import ColumnOptions, ColumnSpec

CHARACTERS = "ab09_ -]^.\\&~é\u0430ß\n\t😀\u2028"
ATOMS = st.sampled_from(
    ["a", "b", "é", "0", "-", " ", "]", "&&", r"\.", r"\\", r"\[", r"\{", r"\^", ".", r"\d", r"\w", r"\s", r"\D", r"\W",
     r"\S", r"\t", r"\n", "[ab]", "[^a]", "[a-c0-9]", r"[^\d\s]", "[-a]", "[a-]", r"[\]\\^-]", "[^\n]", r"[\W]",
     "[&&a]", "[a~~b]", "[à-ÿ]", "[\u0400-\u04ff]", "😀", "[^😀]", r"\x41", r"\u0430", "()", "(|a)"]
)  # fmt: skip


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeats = st.sampled_from(["", "*", "+", "?", "{2}", "{1,}", "{0,3}", "{0}"])
    return st.one_of(
        st.tuples(inner, repeats).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: "".join(f"({part})" for part in parts)),
        st.lists(inner, min_size=2, max_size=3).map("|".join),
        inner.map(lambda part: f"^{part}$"),
    ).filter(lambda text: len(text) < 200)


PATTERNS = st.recursive(
    ATOMS, lambda inner: combined(inner.map(lambda text: text.strip("^$") or "a")), max_leaves=8
)


def ends(node: Node, text: str, starts: frozenset[int]) -> frozenset[int]:
    """Return where a part of a pattern may end in a text: the plainest automaton there is."""
    match node:
        case Chars(ranges):
            return frozenset(
                at + 1
                for at in starts
                if at < len(text) and any(low <= ord(text[at]) <= high for low, high in ranges)
            )
        case Row(parts):
            for part in parts:
                starts = ends(part, text, starts)
            return starts
        case Either(branches):
            return frozenset().union(*(ends(branch, text, starts) for branch in branches))
        case Repeat(inner, least, most):
            for _ in range(least):
                starts = ends(inner, text, starts)
            found, times = starts, least
            while starts and (most is None or times < most):
                starts = ends(inner, text, starts) - found
                found, times = found | starts, times + 1
            return found


def automaton_fits(node: Node, text: str) -> bool:
    return len(text) in ends(node, text, frozenset({0}))


@pytest.mark.django_db
@pytest.mark.usefixtures("as_acme")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    PATTERNS,
    st.lists(st.text(CHARACTERS, max_size=6), min_size=3, max_size=8),
    st.randoms(use_true_random=False),
)
def test_engine_database_and_a_plain_automaton_agree(pattern: str, texts: list[str], random) -> None:
    try:
        node = compiled(pattern).node
    except BadPattern:
        assume(False)
    texts = [*texts, "", "a", "a\n", *(sample(node, random) for _ in range(4))]
    texts += [text[:-1] for text in texts] + [text + "a" for text in texts[-4:]]
    texts = [text for text in texts if "\0" not in text]
    expected = [automaton_fits(node, text) for text in texts]
    assert pl.DataFrame({"t": texts}).select(all_fit(pl.col("t"), pattern))["t"].to_list() == expected
    assert [fits(pattern, text) for text in texts[:3]] == expected[:3]
    spec = ColumnSpec(1, "c", "text", options=ColumnOptions(pattern=pattern))
    check = " AND ".join(one.replace("{c}", "c") for one in TYPES["text"].checks(spec))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg("
            + check.replace("%", "%%")
            + " ORDER BY at) FROM unnest(%s) WITH ORDINALITY t (c, at)",
            [texts],
        )
        assert cursor.fetchone()[0] == expected
    least, most = compiled(pattern).least, compiled(pattern).most
    assert all(least <= len(text) <= (len(text) if most is None else most)
               for text, fit in zip(texts, expected, strict=True) if fit)  # fmt: skip
    bare = without(node, "a\n")
    assert [automaton_fits(bare, text) for text in texts] == [
        fit and not set(text) & {"a", "\n"} for text, fit in zip(texts, expected, strict=True)
    ]


@pytest.mark.parametrize(
    ("pattern", "at", "words"),
    [
        ("(?=a)b", 1, "looks ahead"),
        ("a(?!b)", 2, "looks ahead"),
        ("(?<=a)b", 1, "looks behind"),
        ("(?P<x>a)", 1, "names a group"),
        ("(?i)a", 1, "sets a flag"),
        (r"(a)\1", 4, "a back reference"),
        (r"\bword", 1, "a word boundary"),
        (r"\p{L}", 1, "a Unicode class"),
        ("a*?", 3, "leave “?” out"),
        ("a++", 3, "leave “+” out"),
        ("a**", 3, "repeats a repetition"),
        ("*a", 1, "nothing before it"),
        ("a{300}", 2, "255"),
        ("a{3,2}", 2, "from more to less"),
        ("a{x}", 2, "{2,5}"),
        ("a^b", 2, "stands inside"),
        ("(a", 1, "never closed"),
        ("a)", 2, "closes no group"),
        ("[a", 1, "never closed"),
        ("[[:alpha:]]", 2, "class inside of a class"),
        ("[z-a]", 2, "later character"),
        (r"[\d-z]", 2, "class at one of its ends"),
        (r"[^\s\S]", 1, "no character"),
        ("a\\", 2, "nothing behind it"),
        ("(a{200}){200}", 1, "40,000"),
        ("(a?){255}", 1, "255 parts may be left out"),
        ("a" * (MAX_CHARACTERS + 1), 1, "500"),
        ("(" * 30 + ")" * 30, 22, "20 deep"),
    ],
)  # fmt: skip
def test_what_the_engines_do_not_have_alike_is_refused_by_name(pattern: str, at: int, words: str) -> None:
    with pytest.raises(BadPattern) as refused:
        compiled(pattern)
    assert refused.value.at == at
    assert words in refused.value.rule
    [problem] = problems([NewColumn("Code", options=ColumnOptions(pattern=pattern))], [])
    assert problem.startswith("“Code” has the pattern") and f"at character {at} " in problem


@pytest.mark.case("D01")
@pytest.mark.django_db
@pytest.mark.usefixtures("as_acme")
@pytest.mark.parametrize(
    "pattern",
    ["(a?){249}", "(a?b?){124}", "a{0,255}b{0,255}c{0,255}", "(a+)+b", "(a|a)*b", "(a|aa)+b", "((a*)*)*b",
     r"(\w+\s?)*!", "(.*)(.*)(.*)(.*)x", "(a|b|){100}", "[^b]{255}[^c]{255}[^d]{255}"],
)  # fmt: skip
def test_hostile_patterns_end_in_both_engines_on_the_longest_text(pattern: str) -> None:
    text = "a" * MAX_VALUE_CHARACTERS
    spec = ColumnSpec(1, "c", "text", options=ColumnOptions(pattern=pattern))
    check = " AND ".join(one.replace("{c}", "c") for one in TYPES["text"].checks(spec))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '20s'")  # backtracking would not end in years
        cursor.execute(f"SELECT {check} FROM (SELECT repeat('a', {len(text)}) AS c) t".replace("%", "%%"))
        assert cursor.fetchone() == (fits(pattern, text),)


def said(options: ColumnOptions, raw: str | None, *, is_required: bool = False) -> object:
    try:
        return check_cell(raw, ColumnSpec(1, "Code", "text", is_required, options=options), Reading())
    except BadValue as wrong:
        return (wrong.code, wrong.rule)


def test_a_text_breaks_one_rule_after_the_other_and_says_which() -> None:
    options = ColumnOptions(pattern="[A-Z]{3}-[0-9]+", min_length=5, max_length=8)
    assert said(options, "ABC-12") == "ABC-12"
    assert said(options, "ABC-12345") == ("constraint-error", "Use at most 8 characters; these are 9.")
    assert said(options, "A-1") == ("constraint-error", "Use at least 5 characters; these are 3.")
    assert said(options, " ABC-12") == ("constraint-error", "Remove the white space around the value.")
    shown = example("[A-Z]{3}-[0-9]+")
    assert said(options, "abc-12") == (
        "constraint-error",
        f"Write it in the form [A-Z]{{3}}-[0-9]+, for example {shown}.",
    )
    assert fits("[A-Z]{3}-[0-9]+", shown)
    assert said(ColumnOptions(pattern="a+"), "a" * (MAX_VALUE_CHARACTERS + 1)) == (
        "constraint-error", "Use at most 4,000 characters; these are 4,001.",
    )  # fmt: skip


def test_an_empty_text_that_the_rules_forbid_is_no_value() -> None:
    for options in (
        ColumnOptions(min_length=1),
        ColumnOptions(pattern="a+"),
        ColumnOptions(pattern="a", min_length=1),
    ):
        assert said(options, "") is None
        assert said(options, "", is_required=True) == ("missing-cell", "This column needs a value.")
    for options in (ColumnOptions(), ColumnOptions(min_length=0), ColumnOptions(pattern="a*")):
        assert said(options, "") == ""


def test_lengths_and_patterns_that_nothing_fits_are_refused() -> None:
    def found(**options: object) -> list[str]:
        return problems([NewColumn("Code", options=ColumnOptions(**options))], [])  # type: ignore[arg-type]

    assert found(min_length=5, max_length=4) == ["“Code” needs 5 characters and allows only 4."]
    nothing = ["“Code” has a pattern that no text of its length fits; change one of them."]
    assert found(pattern="[A-Z]{5}", max_length=4) == found(pattern="[A-Z]{5}", min_length=6) == nothing
    assert found(pattern="()") == ["“Code” has a pattern that only an empty text fits; leave it out."]
    assert [found(pattern=one) for one in ("[A-Z]+", "a|b", "^x$|^y$", "a{0,255}")] == [[]] * 4
    assert all(fits("^a|b$", text) == (text in ("a", "b")) for text in map("".join, product("ab", repeat=2)))
