"""Delimiters, line ends, blanks, escapes and quotes other than the double one."""

from __future__ import annotations

from importer.tests.corpus_csv.case import STOCK, case

TWO = (("1", "Ann"), ("2", "Bob"))
COMMA = (("1", "Ann, B."), ("2", "Bob"))
PRICES = "id:integer name:text price:decimal"
THREE = (("1", "a", "2"), ("2", "b", "3"), ("3", "c", "4"))


def marks(delimiter: str) -> str:
    return "id,name,qty\n1,a,2\n2,b,3\n3,c,4\n".replace(",", delimiter)


CASES = [
    *(
        case(f"delimiter-{name}", marks(mark), *THREE, columns=STOCK, dialect={"delimiter": mark})
        for name, mark in {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}.items()
    ),
    *(
        case(
            f"chosen-delimiter-{name}",
            marks(mark),
            *THREE,
            columns=STOCK,
            chosen={"delimiter": mark},
            dialect={"delimiter": mark},
        )
        for name, mark in {
            "caret": "^",
            "tilde": "~",
            "colon": ":",
            "hash": "#",
            "unit-separator": "\x1f",
        }.items()
    ),
    *(
        case(
            f"sep-line-{name}",
            f"sep={mark}\n" + marks(mark),
            *THREE,
            columns=STOCK,
            dialect={"delimiter": mark, "header_row": 2},
        )
        for name, mark in {
            "comma": ",",
            "semicolon": ";",
            "tab": "\t",
            "bar": "|",
            "caret": "^",
            "colon": ":",
        }.items()
    ),
    case(
        "sep-line-in-capitals-and-crlf",
        "SEP=;\r\nid;name\r\n1;Ann\r\n2;Bob\r\n",
        *TWO,
        dialect={"delimiter": ";"},
    ),
    case("sep-line-in-quotes", '"sep=;"\nid;name\n1;Ann\n2;Bob\n', *TWO, dialect={"delimiter": ";"}),
    case(
        "sep-line-behind-a-mark",
        "sep=;\nid;name\n1;Ann\n2;Bob\n",
        *TWO,
        encoding="utf-16",
        dialect={"delimiter": ";"},
    ),
    case(
        "sep-line-that-a-choice-overrules", "sep=;\nid,name\n1,Ann\n2,Bob\n", *TWO, chosen={"delimiter": ","}
    ),
    case("sep-is-a-label-here", "sep,id,name\nx,1,Ann\ny,2,Bob\n", *TWO, labels=("sep", "id", "name")),
    case(
        "blanks-as-delimiter",
        "id name qty\n1 a 2\n2 b 3\n3 c 4\n",
        *THREE,
        columns=STOCK,
        dialect={"delimiter": " "},
        doubts=("parted by blanks",),
    ),
    case(
        "blanks-in-one-column-are-text",
        "full name\nAnn Lee\nBob Ray\n",
        ("Ann Lee",),
        ("Bob Ray",),
        columns="full_name:text",
        dialect={"delimiter": ","},
    ),
    case("one-column", "name\nAnn\nBob\n", ("Ann",), ("Bob",), columns="name:text"),
    case("one-column-without-a-last-line-end", "name\nAnn", ("Ann",), columns="name:text"),
    case(
        "decimal-commas-with-semicolons",
        "id;name;price\n1;a;2,50\n2;b;3,75\n3;c;0,5\n",
        ("1", "a", "2.500000"),
        ("2", "b", "3.750000"),
        ("3", "c", "0.500000"),
        columns=PRICES,
        dialect={"delimiter": ";"},
    ),
    case(
        "decimal-commas-in-two-columns",
        "id;a;b\n" + "".join(f"{n};{n},5;{n},25\n" for n in range(1, 4)),
        *((str(n), f"{n}.500000", f"{n}.250000") for n in range(1, 4)),
        columns="id:integer a:decimal b:decimal",
        dialect={"delimiter": ";"},
    ),
    case(
        "decimal-commas-without-a-header",
        "1,5;2,5\n3,5;4,5\n",
        dialect={"delimiter": ";", "header_row": 0},
        doubts=("looks like data",),
        labels=("column 1", "column 2"),
        columns="x:integer y:integer",
        issues=[(row, row, f"column {at}", "type-error") for row in (1, 2) for at in (1, 2)],
    ),
    case(
        "decimal-commas-with-tabs",
        "id\tname\tprice\n1\ta\t2,5\n2\tb\t3,75\n",
        ("1", "a", "2.500000"),
        ("2", "b", "3.750000"),
        columns=PRICES,
        dialect={"delimiter": "\t"},
    ),
    case("commas-in-text-with-bars", "id|name\n1|Ann, B.\n2|Bob\n", *COMMA, dialect={"delimiter": "|"}),
    case(
        "commas-in-every-text-with-semicolons",
        "id;name\n1;Lee, Ann\n2;Ray, Bob\n3;Fox, Cy\n",
        ("1", "Lee, Ann"),
        ("2", "Ray, Bob"),
        ("3", "Fox, Cy"),
        dialect={"delimiter": ";"},
    ),
    case(
        "semicolons-in-every-text-with-commas",
        "id,name\n1,a;b\n2,c;d\n3,e;f\n",
        ("1", "a;b"),
        ("2", "c;d"),
        ("3", "e;f"),
        dialect={"delimiter": ","},
    ),
    case("quoted-delimiters", 'id,name\n1,"Ann, B."\n2,Bob\n', *COMMA),
    case("line-ends-crlf", "id,name\r\n1,Ann\r\n2,Bob\r\n", *TWO),
    case("line-ends-cr", "id,name\r1,Ann\r2,Bob\r", *TWO),
    case("line-ends-cr-and-quotes", 'id,name\r1,"Ann, B."\r2,Bob\r', *COMMA),
    case("line-ends-mixed", "id,name\n1,Ann\r\n2,Bob\r3,Cy\n4,Di", *TWO, ("3", "Cy"), ("4", "Di")),
    case(
        "line-ends-mixed-and-in-quotes",
        'id,name\r\n1,"a\rb"\r2,"c\nd"\n3,"e\r\nf"\r\n',
        ("1", "a\rb"),
        ("2", "c\nd"),
        ("3", "e\r\nf"),
    ),
    case("line-ends-cr-cr-lf", "id,name\r\r\n1,Ann\r\r\n2,Bob\r\r\n", *TWO, blank=3),
    case("no-last-line-end", "id,name\n1,Ann\n2,Bob", *TWO),
    case("last-line-end-is-a-lone-return", "id,name\r\n1,Ann\r\n2,Bob\r", *TWO),
    case(
        "blank-after-delimiter",
        "id, name, qty\n1, a, 2\n2, b, 3\n3, c, 4\n",
        *THREE,
        columns=STOCK,
        dialect={"skips_space": True},
        doubts=("Blanks after each delimiter",),
    ),
    case(
        "blank-before-quote",
        'id, name\n1, "Ann, B."\n2, "Bob"\n',
        *COMMA,
        dialect={"skips_space": True},
        doubts=("Blanks",),
    ),
    case(
        "blank-before-quote-kept-by-choice",
        'id, name\n1, "Ann"\n2, "Bob"\n',
        ("1", ' "Ann"'),
        ("2", ' "Bob"'),
        chosen={"skips_space": "no"},
        dialect={"skips_space": False},
    ),
    case(
        "blank-in-front-of-one-cell-is-text",
        "id,name\n1, Ann\n2,Bob\n",
        ("1", " Ann"),
        ("2", "Bob"),
        dialect={"skips_space": False},
    ),
    case(
        "single-quotes",
        "'id','name'\n'1','Ann, B.'\n'2','Bob'\n",
        *COMMA,
        dialect={"quote": "'"},
        doubts=("single quotes",),
    ),
    case(
        "single-quotes-where-needed",
        "id,name\n1,'Ann, B.'\n2,Bob\n",
        *COMMA,
        dialect={"quote": "'"},
        doubts=("single quotes",),
    ),
    case(
        "single-quotes-doubled",
        "'id','name'\n'1','O''Hara'\n'2','Bob'\n",
        ("1", "O'Hara"),
        ("2", "Bob"),
        dialect={"quote": "'"},
        doubts=("single",),
    ),
    case(
        "apostrophes-are-text",
        "id,name\n1,O'Hara\n2,'tis\n3,rock 'n' roll\n",
        ("1", "O'Hara"),
        ("2", "'tis"),
        ("3", "rock 'n' roll"),
        dialect={"quote": '"'},
    ),
    case("chosen-single-quotes", "id,name\n1,'a'\n2,b\n", ("1", "a"), ("2", "b"), chosen={"quote": "'"}),
    case(
        "chosen-no-quotes",
        'id,name\n1,"a\n2,b"\n',
        ("1", '"a'),
        ("2", 'b"'),
        chosen={"quote": "none"},
        dialect={"quote": ""},
    ),
    case(
        "tabs-and-quotes-that-never-close",
        'id\tname\n1\t"Hello\n2\tsay "hi"\n3\t"\n',
        ("1", '"Hello'),
        ("2", 'say "hi"'),
        ("3", '"'),
        dialect={"quote": "", "delimiter": "\t"},
        doubts=("read as characters",),
    ),
    case(
        "escaped-quotes",
        'id,name\n1,"say \\"hi\\", Ann"\n2,"Bob"\n',
        ("1", 'say "hi", Ann'),
        ("2", "Bob"),
        dialect={"escape": "\\"},
        doubts=('written \\"',),
    ),
    case(
        "escaped-quotes-and-backslashes",
        'id,name\n1,"\\"C:\\\\dir\\\\\\" x"\n2,"Bob"\n',
        ("1", '"C:\\dir\\" x'),
        ("2", "Bob"),
        dialect={"escape": "\\"},
        doubts=("written",),
    ),
    case(
        "escaped-quotes-over-lines",
        'id,name\n1,"a \\"b\\"\nc, \\"d\\" e"\n2,"Bob"\n',
        ("1", 'a "b"\nc, "d" e'),
        ("2", "Bob"),
        dialect={"escape": "\\"},
        doubts=("written",),
    ),
    case("escaped-delimiter-by-choice", "id,name\n1,Ann\\, B.\n2,Bob\n", *COMMA, chosen={"escape": "\\"}),
    case(
        "backslash-before-the-closing-quote",
        'id,name\n1,"C:\\dir\\"\n2,"Bob"\n',
        ("1", "C:\\dir\\"),
        ("2", "Bob"),
        dialect={"escape": None},
    ),
    case(
        "backslashes-are-text",
        "id,name\n1,C:\\new\\table\n2,\\N\n",
        ("1", "C:\\new\\table"),
        ("2", "\\N"),
        dialect={"escape": None},
    ),
    case(
        "escape-refused-by-choice",
        'id,name\n1,"a\\"\n2,b\n',
        ("1", "a\\"),
        ("2", "b"),
        chosen={"escape": "none"},
    ),
    case("chosen-delimiter-is-none", "id,name\n1,a\n", chosen={"delimiter": "ab"}, refusal="bad-override"),
    case("chosen-quote-is-none", "id,name\n1,a\n", chosen={"quote": "x"}, refusal="bad-override"),
    case("chosen-escape-is-none", "id,name\n1,a\n", chosen={"escape": "/"}, refusal="bad-override"),
    case(
        "chosen-escape-without-quotes",
        "id,name\n1,a\n",
        chosen={"escape": "\\", "quote": "none"},
        refusal="bad-override",
    ),
]
