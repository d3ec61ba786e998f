"""Quotes too many and too few: the row they stand in is told, and no other is lost."""

from __future__ import annotations

from importer.tests.corpus_csv.case import STOCK, case

OPEN = "unterminated-quote"

CASES = [
    case(
        "doubled-quotes",
        'id,name\n1,"say ""hi"""\n2,""""\n3,""\n4,\n',
        ("1", 'say "hi"'),
        ("2", '"'),
        ("3", ""),
        ("4", None),
    ),
    case("everything-quoted", '"id","name"\n"1","Ann"\n"2",""\n', ("1", "Ann"), ("2", "")),
    case("cells-of-several-lines", 'id,name\n1,"a\nb\n\nc"\n2,"d"\n', ("1", "a\nb\n\nc"), ("2", "d")),
    case(
        "inch-marks", 'id,name\n1,3" pipe\n2,5"\n3,6\' 2"\n', ("1", '3" pipe'), ("2", '5"'), ("3", "6' 2\"")
    ),
    case(
        "text-behind-a-closing-quote",
        'id,name\n1,"ab"c\n2,"d" \n3,"e"f"\n',
        ("1", "abc"),
        ("2", "d "),
        ("3", 'ef"'),
    ),
    case("quote-within-a-cell", 'id,name\n1,a "b" c\n2,x"y\n', ("1", 'a "b" c'), ("2", 'x"y')),
    case(
        "blank-before-a-quote",
        'id,name\n1, "a"\n2,b\n3,c\n',
        ("1", ' "a"'),
        ("2", "b"),
        ("3", "c"),
        chosen={"skips_space": "no"},
    ),
    case(
        "never-closed",
        'id,name\n1,a\n2,"open\n3,c\n4,d\n',
        ("1", "a"),
        ("3", "c"),
        ("4", "d"),
        issues=[(3, 3, "name", OPEN)],
        rules={3: "opens on line 3"},
    ),
    case("never-closed-in-the-last-row", 'id,name\n1,a\n2,"open', ("1", "a"), issues=[(3, 3, "name", OPEN)]),
    case("never-closed-in-the-first-cell", 'id,name\n"1,a\n2,b\n', ("2", "b"), issues=[(2, 2, "id", OPEN)]),
    case(
        "never-closed-with-crlf", 'id,name\r\n1,"open\r\n2,b\r\n', ("2", "b"), issues=[(2, 2, "name", OPEN)]
    ),
    case("never-closed-with-cr", 'id,name\r1,"open\r2,b\r', ("2", "b"), issues=[(2, 2, "name", OPEN)]),
    case(
        "never-closed-in-utf-16",
        'id,name\n1,"öpen\n2,b\n',
        ("2", "b"),
        encoding="utf-16",
        issues=[(2, 2, "name", OPEN)],
    ),
    case(
        "closed-by-the-next-quoted-cell",
        'id,name\n1,"open\n2,b\n3,"c"\n4,d\n',
        ("2", "b"),
        ("3", "c"),
        ("4", "d"),
        issues=[(2, 2, "name", OPEN)],
    ),
    case(
        "closed-by-a-quoted-line",
        'id,name\n"1","open\n"2","b"\n"3","c"\n',
        ("2", "b"),
        ("3", "c"),
        issues=[(2, 2, "name", OPEN)],
    ),
    case(
        "three-quotes",
        'id,name\n1,"a""\n"2","b"\n3,c\n',
        ("2", "b"),
        ("3", "c"),
        issues=[(2, 2, "name", OPEN)],
    ),
    case(
        "opened-in-two-rows",
        'id,name\n1,"a\n2,"b\n3,c\n',
        ("3", "c"),
        issues=[(2, 2, "name", OPEN), (3, 3, "name", OPEN)],
    ),
    case(
        "opened-behind-a-cell-of-several-lines",
        'id,name,qty\n1,"a\nb","c\n2,x,3\n',
        ("2", "x", "3"),
        columns=STOCK,
        issues=[(2, 2, "qty", OPEN)],
        rules={2: "opens on line 3"},
    ),
    case(
        "a-cell-of-several-lines-and-an-open-one-below",
        'id,name\n1,"a\nb"\n2,"open\n3,c\n',
        ("1", "a\nb"),
        ("3", "c"),
        issues=[(3, 4, "name", OPEN)],
    ),
    case(
        "open-quote-and-a-blank-line",
        'id,name\n1,"open\n\n3,c\n',
        ("3", "c"),
        issues=[(2, 2, "name", OPEN)],
        blank=1,
    ),
    case(
        "open-quote-and-bad-bytes",
        'id,name\n1,é\n2,"open\n'.encode() + b"3,\xff\n4,d\n",
        ("1", "é"),
        ("4", "d"),
        doubts=("UTF-8, but",),
        issues=[(3, 3, "name", OPEN), (4, 4, "name", "encoding-error")],
    ),
    case(
        "open-quote-in-the-header",
        'id,"name\n1,a\n2,b\n',
        ("1",),
        ("2",),
        labels=("id", '"name'),
        columns="id:integer",
    ),
    case("only-a-quote", 'id,name\n1,"\n2,b\n', ("2", "b"), issues=[(2, 2, "name", OPEN)]),
    case(
        "ragged-and-open",
        'id,name,qty\n1,a\n2,"b,3\n3,c,4\n',
        ("3", "c", "4"),
        columns=STOCK,
        issues=[(2, 2, "qty", "missing-cell"), (3, 3, "name", OPEN)],
    ),
    case(
        "lines-within-a-quoted-cell-that-look-like-rows",
        'id,name\n1,"x\n2,b\n3,c"\n4,d\n',
        ("1", "x\n2,b\n3,c"),
        ("4", "d"),
    ),
    case("quotes-and-delimiters-alone", 'id,name\n1,""","""\n2,","\n', ("1", '","'), ("2", ",")),
    case("a-quoted-line-end-at-the-very-end", 'id,name\n1,"a\n"', ("1", "a\n")),
    case("a-quoted-return", 'id,name\r\n1,"a\rb"\r\n2,c\r\n', ("1", "a\rb"), ("2", "c")),
]
