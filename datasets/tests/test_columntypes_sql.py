"""PostgreSQL against the grammar: it stores what `parse` gives and writes back the canonical text."""

import csv
import io

import pytest
from django.db import connection

from core.backend.cursors import Statements
from datasets.columntypes import TYPES
from datasets.spec import ColumnOptions, ColumnSpec

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_acme")]

NASTY_CHOICES = ColumnOptions(choices=("new", "it's", "{c}", "5 %s", "\\", "é", "🏳️‍🌈", 'a"b'))


def column(name: str, options: ColumnOptions | None = None) -> ColumnSpec:
    return ColumnSpec(1, "c", name, options=options or ColumnOptions(choices=("a",)))


def stored(spec: ColumnSpec, canonical: str) -> tuple[str, list[bool], object]:
    """Return text_sql, the CHECKs' answers and the Python value of a stored canonical text."""
    kind = TYPES[spec.type]
    checks = ", ".join(check.replace("{c}", '"c1"') for check in kind.checks(spec))
    values = f"(SELECT $v${canonical}$v$::{kind.sql_type(spec)} AS c1) t"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'America/New_York'")
        cursor.execute("SET LOCAL DateStyle = 'SQL, DMY'")
        cursor.execute(f"SELECT {kind.text_sql('c1')}, ARRAY[{checks}]::boolean[] FROM {values}")
        text, answers = cursor.fetchone()
        # Python values are read under the session Django sets up, and under no other.
        cursor.execute("SET LOCAL TimeZone = 'UTC'")
        cursor.execute("SET LOCAL DateStyle = 'ISO'")
        cursor.execute(f"SELECT c1 FROM {values}")
        (value,) = cursor.fetchone()
        out = io.StringIO()
        cursor.copy_expert(f"COPY (SELECT {kind.copy_sql('c1')} FROM {values}) TO STDOUT (FORMAT csv)", out)
    assert next(csv.reader(io.StringIO(out.getvalue(), newline=""))) == [text]
    return text, answers, value


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("text", " a\u2028e\u0301 "),
        ("long_text", "a\nb"),
        ("integer", "-9223372036854775808"),
        ("decimal", "-0.010000"),
        ("decimal", "1234567890123456789012.500000"),
        ("boolean", "true"),
        ("boolean", "false"),
        ("date", "0001-01-01"),
        ("date", "9999-12-31"),
        ("timestamp", "2026-08-26T14:00:00Z"),
        ("timestamp", "2026-08-26T14:00:10.5Z"),
        ("timestamp", "2026-08-26T14:00:00.000001Z"),
        ("timestamp", "0001-01-02T00:00:00Z"),
        ("timestamp", "9999-12-30T23:59:59.999999Z"),
        ("choice", "a"),
        ("time", "00:00:00"),
        ("time", "23:59:59.999999"),
        ("multi_choice", "a"),
        ("email", "O'Neil+x@münchen.example"),
        ("url", "https://münchen.example:65535/ä?q=[1]#|"),
        ("url", "http://[2001:db8::1]"),
        ("phone", "+4930123456"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
        ("json", '{"a": [1.10, 0.0], "bc": {"": null}, "é": "\\n\\u0001😀"}'),
        ("json", "null"),
        ("json", f"[{'9' * 1000}, 0.{'0' * 998}1]"),
        ("json", "[" * 100 + "]" * 100),
    ],
)
def test_what_is_stored_comes_back_as_its_canonical_text(name: str, canonical: str) -> None:
    text, answers, value = stored(column(name), canonical)

    assert text == canonical
    assert all(answers)
    assert TYPES[name].to_text(value) == canonical


@pytest.mark.parametrize("choice", NASTY_CHOICES.choices)
def test_the_check_of_a_choice_means_the_choice(choice: str) -> None:
    spec = column("choice", NASTY_CHOICES)

    assert stored(spec, choice)[1] == [True]
    assert stored(spec, choice + ".")[1] == [False]


@pytest.mark.parametrize(
    ("name", "options", "canonical", "answers"),
    [
        ("integer", ColumnOptions(minimum="-3", maximum="5"), "6", [True, False]),
        ("decimal", ColumnOptions(6, 2, minimum="0.50"), "0.49", [True, False]),
        ("decimal", ColumnOptions(6, 2), "NaN", [False]),
        ("date", ColumnOptions(), "10000-01-01", [True, False]),
        ("text", ColumnOptions(max_length=2), "äöü", [False]),
        ("time", ColumnOptions(minimum="06:00:00"), "24:00:00", [False, True]),
        ("time", ColumnOptions(maximum="22:00:00"), "22:00:00.000001", [True, False]),
        ("multi_choice", ColumnOptions(choices=("a", "b")), "b; a", [False]),
        ("multi_choice", ColumnOptions(choices=("a", "b")), "a; a", [False]),
        ("multi_choice", ColumnOptions(choices=("a", "b")), "a;b", [False]),
        ("multi_choice", ColumnOptions(choices=("a", "b")), "", [False]),
        ("multi_choice", ColumnOptions(), "a", [False]),
        ("email", ColumnOptions(), "a@Example.org", [False, True, True]),
        ("email", ColumnOptions(), f"{'é' * 33}@example.org", [True, False, True]),
        ("email", ColumnOptions(), f"a@{'x' * 64}.org", [True, True, False]),
        ("url", ColumnOptions(), "javascript:alert(1)", [False, True]),
        ("url", ColumnOptions(), "https://u@example.org/", [False, True]),
        ("url", ColumnOptions(), f"https://{'x' * 64}.org/", [True, False]),
        ("url", ColumnOptions(), f"https://example.org/{'é' * 1_000}", [True, False]),
        ("phone", ColumnOptions(), "030123456", [False]),
        ("json", ColumnOptions(), "[" * 101 + "]" * 101, [True, False, True]),
        ("json", ColumnOptions(), "1e1000", [True, True, False]),
        ("json", ColumnOptions(), "1e-1001", [True, True, False]),
        ("json", ColumnOptions(), f'"{"9" * 2_000}"', [True, True, True]),
    ],
)
def test_the_checks_refuse_what_the_grammar_refuses(
    name: str, options: ColumnOptions, canonical: str, answers: list[bool]
) -> None:
    spec = column(name, options)
    kind = TYPES[name]
    checks = ", ".join(check.replace("{c}", '"c1"') for check in kind.checks(spec))
    with connection.cursor() as cursor:
        cursor.execute(
            Statements(
                f"SELECT ARRAY[{checks}]::boolean[]"
                f" FROM (SELECT $v${canonical}$v$::{kind.sql_type(spec)} AS c1) t"
            )
        )
        assert cursor.fetchone() == (answers,)


@pytest.mark.case("V07")
@pytest.mark.parametrize("name", ["date", "timestamp"])
@pytest.mark.parametrize("canonical", ["infinity", "-infinity", "0044-03-15 BC"])
def test_the_database_refuses_moments_nothing_else_knows(name: str, canonical: str) -> None:
    spec = column(name)
    checks = " AND ".join(check.replace("{c}", '"c1"') for check in TYPES[name].checks(spec))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {checks} FROM (SELECT $v${canonical}$v$::{TYPES[name].sql_type(spec)} AS c1) t"
        )
        assert cursor.fetchone() == (False,)
