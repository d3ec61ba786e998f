"""Times, identifiers, addresses and numbers to call, and JSON: what is accepted, and what is said of the rest."""

from __future__ import annotations

import pytest

from datasets.columntypes import BadValue, Reading, check_cell
from datasets.spec import ColumnOptions, ColumnSpec

UUID = "123e4567-e89b-12d3-a456-426614174000"
CHOICES = ColumnOptions(choices=("new", "sent out", "urgent"))


def read(kind: str, raw: str, options: ColumnOptions | None = None) -> str | None:
    return check_cell(raw, ColumnSpec(1, "c", kind, options=options or ColumnOptions()), Reading())


@pytest.mark.parametrize(
    ("kind", "raw", "canonical"),
    [
        ("time", "14:00", "14:00:00"),
        ("time", " 9:30 ", "09:30:00"),
        ("time", "23:59:59.999999", "23:59:59.999999"),
        ("time", "12:00:00.500", "12:00:00.5"),
        ("time", "12:00:00.0000000", "12:00:00"),
        ("uuid", UUID.upper(), UUID),
        ("uuid", "{" + UUID + "}", UUID),
        ("uuid", f"URN:uuid:{UUID}", UUID),
        ("uuid", UUID.replace("-", ""), UUID),
        ("uuid", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
        ("email", " Ada.L@Example.ORG ", "Ada.L@example.org"),
        ("email", "o'neil+x@a-b.co.uk", "o'neil+x@a-b.co.uk"),
        ("email", "Jürgen@MÜNCHEN.example", "Jürgen@münchen.example"),
        ("email", "a@bu\u0308cher.example", "a@bücher.example"),
        ("url", "HTTPS://Example.org/Path?Q=[1]|{2}#F", "https://example.org/Path?Q=[1]|{2}#F"),
        ("url", "http://wiki", "http://wiki"),
        ("url", "http://127.0.0.1:8000/", "http://127.0.0.1:8000/"),
        ("url", "http://[2001:DB8::1]:443", "http://[2001:db8::1]:443"),
        ("url", "https://MÜNCHEN.example/Ä", "https://münchen.example/Ä"),
        ("phone", "+49 (0)30/123-456", "+4930123456"),
        ("phone", "+39 06 6982", "+39066982"),
        ("phone", "+1.202.555.0143", "+12025550143"),
    ],
)
def test_each_form_has_one_canonical_text(kind: str, raw: str, canonical: str) -> None:
    assert (read(kind, raw), read(kind, canonical)) == (canonical, canonical)


@pytest.mark.parametrize(
    ("kind", "raw", "rule"),
    [
        pytest.param("time", "24:00:00", "The time of day goes from", marks=pytest.mark.case("V11")),
        pytest.param("time", "23:59:60", "The time of day goes from", marks=pytest.mark.case("V11")),
        ("time", "2:30 PM", "14:30, not 2:30 pm"),
        ("time", "14:00+02:00", "has no zone"),
        ("time", "0.5", "Give the workbook's cells the format of a time"),
        ("time", "12:00:00.1234567", "at most 6 decimals"),
        ("time", "1200", "Write the time of day as 14:00"),
        pytest.param("time", "now", "Write the time of day as 14:00", marks=pytest.mark.case("V07")),
        pytest.param("time", "１２:00", "Write the time of day as 14:00", marks=pytest.mark.case("V02")),
        ("uuid", UUID[:-1], "Write 32 hexadecimal digits"),
        ("uuid", f"({UUID})", "Write 32 hexadecimal digits"),
        ("uuid", "{" + UUID.replace("-", "") + "}", "Write 32 hexadecimal digits"),
        ("email", "ada", "name@example.org"),
        ("email", "ada@localhost", "a whole domain"),
        ("email", "ada@127.0.0.1", "Write an e-mail address as"),
        ("email", "a b@example.org", "Remove the spaces"),
        ("email", "mailto:a@example.org", "Leave out “mailto:”"),
        ("email", "Ada <a@example.org>", "without a name"),
        ("email", "a@example.org, b@example.org", "Write one address only"),
        ("email", ".a@example.org", "Write an e-mail address as"),
        ("email", "a@exam_ple.org", "holds “_”, which no e-mail address does"),
        ("email", "a@exa\u200bmple.org", "a zero width space (U+200B): remove it"),
        ("email", f"{'x' * 65}@example.org", "at most 64 bytes"),
        ("email", f"{'é' * 33}@example.org", "at most 64 bytes"),
        ("email", f"a@{'x' * 64}.org", "63 characters between dots"),
        ("url", "example.org", "Begin with https://"),
        ("url", "localhost:8000/x", "Begin with https://"),
        ("url", "javascript:alert(1)", "“javascript:” is no web address"),
        ("url", "data:text/html,<b>", "“data:” is no web address"),
        ("url", " jAvAsCrIpT://example.org/%0aalert(1)", "“jAvAsCrIpT:” is no web address"),
        ("url", "https://bank.example@evil.example/", "Leave the user name and the password out"),
        ("url", "https://example.org/a b", "holds “ ”. Write %20 in its place"),
        ("url", 'https://example.org/"onclick=', "holds “\"”. Write %22 in its place"),
        ("url", "https://example.org\\@evil.example", "Leave the user name"),
        ("url", "https://example.org\\evil", "is no host"),
        ("url", "https://example.org:65536", "is no host"),
        ("url", "https://1.2.3.256", "is no host"),
        ("url", "https://[::zz]/", "is no host"),
        ("url", "https://example.org/\u202egpj", "Write %E2%80%AE in its place"),
        ("phone", "030 123456", "as in +49 30 123456."),
        ("phone", "1-800-FLOWERS", "as in +49 30 123456."),
        ("phone", "+1 202 555 0143 ext. 7", "Leave the extension out"),
        ("phone", "+49 1", "as in +49 30 123456"),
        ("phone", "+1 555 0143", "lacks its area code"),
        ("phone", "+1 202 555 01433", "too many digits"),
        ("phone", "+999 123456", "as in +49 30 123456."),
        ("phone", "+４９ 30 123456", "as in +49 30 123456."),
    ],
)  # fmt: skip
def test_what_is_refused_is_told_what_to_write(kind: str, raw: str, rule: str) -> None:
    with pytest.raises(BadValue) as caught:
        read(kind, raw)
    assert rule in caught.value.rule


def test_a_number_without_its_country_is_one_of_the_columns_region() -> None:
    german, american = ColumnOptions(region="DE"), ColumnOptions(region="US")
    assert read("phone", "030 123456", german) == read("phone", "0049 30 123456", german) == "+4930123456"
    assert read("phone", "(202) 555-0143", american) == "+12025550143"
    assert read("phone", "+49 30 123456", american) == "+4930123456"
    with pytest.raises(BadValue, match=r"or a number of DE\."):
        read("phone", "call me", german)


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ('{"bc":1,"a":[1.0, 1e5,1.10,-0 ]}', '{"a": [1.0, 100000, 1.10, 0], "bc": 1}'),
        (' \n"\\u00e9\\ud83d\\ude00\\/\\u0001\\n" ', '"é😀/\\u0001\\n"'),
        ("123456789012345678901234567890.5E-3", "123456789012345678901234567.8905"),
        ("null", "null"),
        ("[" * 100 + "]" * 100, "[" * 100 + "]" * 100),
    ],
)
def test_json_has_the_text_of_jsonb(raw: str, canonical: str) -> None:
    assert (read("json", raw), read("json", canonical)) == (canonical, canonical)


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        pytest.param("NaN", "JSON has no NaN", marks=pytest.mark.case("V05")),
        pytest.param("[-Infinity]", "JSON has no -Infinity", marks=pytest.mark.case("V05")),
        pytest.param("1e99999999", "at most 1,000 digits", marks=pytest.mark.case("V04")),
        pytest.param("1e131072", "at most 1,000 digits", marks=pytest.mark.case("V04")),
        ('{"a":1,"b":{"c":1,"c":2}}', "The key “c” stands more than once"),
        (r'"\u0000"', "Remove the NUL character"),
        pytest.param(r'{"\ud800": 1}', "half of a surrogate pair", marks=pytest.mark.case("V18")),
        ("[" * 101 + "]" * 101, "100 deep"),
        ("{'a': 1}", "texts in double quotes"),
        ("ten", "Write JSON: an object"),
        ('{"a": 1', "This is no JSON: "),
    ],
)
def test_what_is_no_json_is_refused(raw: str, rule: str) -> None:
    with pytest.raises(BadValue) as caught:
        read("json", raw)
    assert rule in caught.value.rule


def test_several_choices_stand_once_and_in_the_columns_order() -> None:
    forms = ("urgent; new", "new;urgent", " urgent ;; new;", "new; urgent; new")
    assert {read("multi_choice", raw, CHOICES) for raw in forms} == {"new; urgent"}


@pytest.mark.case("V27")
def test_a_choice_that_is_none_is_named_with_the_nearest() -> None:
    with pytest.raises(BadValue) as caught:
        read("multi_choice", "new; sentout", CHOICES)
    assert (caught.value.code, caught.value.rule) == (
        "constraint-error",
        "“sentout” is not an allowed choice. The nearest: “sent out”.",
    )
    with pytest.raises(BadValue, match="or leave the cell empty"):
        read("multi_choice", " ; ", CHOICES)


@pytest.mark.case("V28")
@pytest.mark.parametrize("kind", ["time", "uuid", "email", "url", "phone", "json"])
@pytest.mark.parametrize(
    "piece", ["a", "a.", "a-", "@", "a@a.", '"', "\\", '"\\"', "[", "{", "0", ":", "+1 ", "(", "é"]
)
def test_the_longest_cell_is_read_in_linear_time(kind: str, piece: str) -> None:
    # A look that goes back for each of a million characters would not end while anybody waits.
    with pytest.raises(BadValue):
        read(kind, {"url": "https://", "email": "a@"}.get(kind, "") + piece * (1_000_000 // len(piece)))
