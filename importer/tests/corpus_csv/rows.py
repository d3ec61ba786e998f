"""Rows that do not fit, and rows that hold nothing."""

from __future__ import annotations

from importer.tests.corpus_csv.case import STOCK, case

TWO = (("1", "Ann"), ("2", "Bob"))
WIDE = 1_600
BIG = "x" * 1_100_000

CASES = [
    case("blank-lines", "id,name\n\n1,Ann\n\n\n2,Bob\n\n", *TWO, blank=4),
    case(
        "lines-of-delimiters",
        "id,name,qty\n1,a,2\n,,\n2,b,3\n,,,,\n",
        ("1", "a", "2"),
        ("2", "b", "3"),
        columns=STOCK,
        blank=2,
    ),
    case("lines-of-blanks", "id,name\n1,Ann\n   \n\t\n2,Bob\n", *TWO, blank=2),
    case(
        "too-few-cells",
        "id,name,qty\n1,a,2\n2,b\n3\n4,d,5\n",
        ("1", "a", "2"),
        ("4", "d", "5"),
        columns=STOCK,
        issues=[(3, 3, "qty", "missing-cell"), (4, 4, "name", "missing-cell")],
    ),
    case(
        "too-many-cells",
        "id,name\n1,Ann\n2,Bob,x\n3,Cy\n",
        ("1", "Ann"),
        ("3", "Cy"),
        issues=[(3, 3, "", "extra-cell")],
    ),
    case(
        "unquoted-delimiter",
        "id,name\n1,Ann\n2,Lee, Bob\n3,Cy\n",
        ("1", "Ann"),
        ("3", "Cy"),
        issues=[(3, 3, "", "extra-cell")],
    ),
    case("empty-cells-too-many", "id,name\n1,Ann,\n2,Bob,,,\n", *TWO),
    case(
        "empty-cells-too-many-everywhere",
        "id,name,\n1,Ann,\n2,Bob,\n",
        *TWO,
        labels=("id", "name", "column 3"),
    ),
    case("null-and-empty-text", 'id,name\n1,\n2,""\n', ("1", None), ("2", "")),
    case("missing-key", "id,name\n,Ann\n2,Bob\n", ("2", "Bob"), issues=[(2, 2, "id", "primary-key")]),
    case(
        "wrong-types",
        "id,name,qty\nx,a,2\n2,b,y\n3,c,4\n",
        ("3", "c", "4"),
        columns=STOCK,
        issues=[(2, 2, "id", "type-error"), (3, 3, "qty", "type-error")],
    ),
    case(
        "two-wrong-cells",
        "id,name,qty\nx,a,y\n2,b,3\n",
        ("2", "b", "3"),
        columns=STOCK,
        issues=[(2, 2, "id", "type-error"), (2, 2, "qty", "type-error")],
    ),
    case(
        "rows-and-lines-part-below-cells-of-several-lines",
        'id,name\n1,"a\nb"\nx,c\n2,d\n',
        ("1", "a\nb"),
        ("2", "d"),
        issues=[(3, 4, "id", "type-error")],
    ),
    case("leading-zeros-of-text-stay", "id,name\n1,007\n2,0\n", ("1", "007"), ("2", "0")),
    case("blanks-around-text-stay", "id,name\n1, a \n2,b\n", ("1", " a "), ("2", "b")),
    case("formulas-are-text", "id,name\n1,=1+1\n2,@x\n", ("1", "=1+1"), ("2", "@x")),
    case(
        "long-numbers-of-text-stay",
        "id,name\n1,12345678901234567890\n2,1e5\n",
        ("1", "12345678901234567890"),
        ("2", "1e5"),
    ),
    case(
        "a-row-too-large",
        f"id,name\n1,a\n2,{BIG}\n3,c\n",
        ("1", "a"),
        ("3", "c"),
        issues=[(3, 3, "", "cell-too-large")],
    ),
    case(
        "a-row-too-large-in-quotes",
        f'id,name\n1,a\n2,"{BIG}"\n3,c\n',
        ("1", "a"),
        ("3", "c"),
        issues=[(3, 3, "", "cell-too-large")],
    ),
    case(
        "a-row-too-large-in-utf-16",
        f"id,name\n1,é\n2,{BIG}\n3,c\n",
        ("1", "é"),
        ("3", "c"),
        encoding="utf-16",
        issues=[(3, 3, "", "cell-too-large")],
    ),
    case(
        "as-wide-as-can-be",
        ",".join(f"l{n}" for n in range(WIDE)) + "\n" + ",".join(map(str, range(WIDE))) + "\n",
        ("0",),
        columns="l0:integer",
    ),
    case(
        "control-characters-are-text",
        "id,name\n1,a\x07b\n2,\x1b[0m\n3,\x7f\n",
        ("1", "a\x07b"),
        ("2", "\x1b[0m"),
        ("3", "\x7f"),
    ),
    case("the-readers-own-mark-in-a-cell", "id,name\n1,a\x01b\n2,\x01\n", ("1", "a\x01b"), ("2", "\x01")),
    case(
        "sub-character-at-the-end",
        "id,name\n1,Ann\n2,Bob\n\x1a",
        *TWO,
        issues=[(4, 4, "name", "missing-cell")],
    ),
    case("one-row-of-one-cell", "id\n1\n", ("1",), columns="id:integer"),
    case("columns-in-another-order", "name,id\nAnn,1\nBob,2\n", *TWO),
    case("further-columns-are-left-out", "id,x,name\n1,?,Ann\n2,?,Bob\n", *TWO),
    case(
        "a-row-of-too-many-cells",
        "id,name\n1,a\n2" + ",x" * 20_000 + "\n3,c\n",
        ("1", "a"),
        ("3", "c"),
        issues=[(3, 3, "", "cell-too-large")],
        rules={3: "more than 16,384 cells"},
    ),
    case(
        "a-row-of-too-many-cells-in-quotes",
        'id,name\n1,a\n2,"b\nb"' + ',"x\n"' * 17_000 + '\n3,"c, c"\n',
        ("1", "a"),
        ("3", "c, c"),
        issues=[(3, 3, "", "cell-too-large")],
    ),
    case(
        "a-cell-of-many-delimiters",
        'id,name\n1,"' + "a," * 20_000 + '"\n2,b\n',
        ("1", "a," * 20_000),
        ("2", "b"),
    ),
    case(
        "more-rows-than-a-piece-has",
        "id\n" + "7\n\n" * 20_000,
        *[("7",)] * 20_000,
        columns="id:integer",
        blank=20_000,
    ),
]
