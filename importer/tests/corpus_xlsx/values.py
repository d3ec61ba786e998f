"""Cells: numbers, days, times, texts, formulas and errors."""

from __future__ import annotations

from importer.tests.corpus_xlsx.case import Case, cell, line
from importer.tests.workbooks import number, parts, rows, text

ISO, MOMENT, CLOCK, HOURS = "yyyy-mm-dd", "yyyy-mm-dd hh:mm", "hh:mm:ss", "[h]:mm:ss"


def a_number(name: str, raw: str, shown: str | None, *, code: str | None = None, **options: object) -> Case:
    """A single number; `shown` None means that it is a hazard."""
    formats = () if code is None else (code,)
    book = line(number("A1", raw, len(formats)), formats=formats, **options)
    return Case(name, book, [[shown or raw]], {} if shown else {"A1": raw})


def a_text(name: str, raw: str, shown: str) -> Case:
    return Case(name, line(text("A1", raw)), [[shown]])


NUMBERS = (
    a_number("an integer", "42", "42"),
    a_number("a negative integer", "-42", "-42"),
    a_number("zero", "0", "0"),
    a_number("minus zero", "-0", "0"),
    a_number("an integer written as a float", "42.0", "42"),
    a_number("fifteen digits", "123456789012345", "123456789012345"),
    a_number("sixteen digits", "1234567890123456", None),
    a_number("twenty digits", "1.2345678901234567E+19", None),
    a_number("a fraction with the noise of binary", "1.1000000000000001", "1.1"),
    a_number("a sum with the noise of binary", "0.30000000000000004", "0.3"),
    a_number("a small number with an exponent", "1E-3", "0.001"),
    a_number("a tiny number", "1.5e-10", "0.00000000015"),
    a_number("a large number with an exponent", "1.5E+6", "1500000"),
    a_number("not a number", "NaN", None),
    a_number("infinity", "INF", None),
    a_number("beyond all floats", "1e400", None),
    a_number("a number that is a word", "twelve", None),
    a_number("a plus in front", "+5", "5"),
    a_number("zeros in front", "007", "7"),
    a_number("white space around a number", "\n 7 ", "7"),
    a_number("a percentage", "0.125", "0.125", code="0.0%"),
    a_number("a currency", "1234.5", "1234.5", code="[$€-407] #,##0.00"),
    a_number("zeros by format", "42", "42", code="00000"),
    a_number("thousands by format", "1234567", "1234567", code="#,##0"),
    a_number("a format that hides the value", "5", "5", code=";;;"),
    a_number("a fraction by format", "0.5", "0.5", code="# ?/?"),
    a_number("a scientific format", "12345", "12345", code="0.00E+00"),
    a_number("days as a word in quotes", "3", "3", code="0 &quot;days&quot;"),
    a_number("a colour named like a date", "3", "3", code="[Red]0;[Red]-0"),
    a_number("a general format", "3.5", "3.5", code="General"),
    a_number("a general format by its German name", "3.5", "3.5", code="Standard"),
)

DAYS = (
    a_number("a day", "45322", "2024-01-31", code=ISO),
    a_number("a day in the German order", "45322", "2024-01-31", code="dd.mm.yyyy;@"),
    a_number("a day with a locale", "45322", "2024-01-31", code="[$-F800]dddd\\,\\ mmmm\\ dd\\,\\ yyyy"),
    a_number("a month", "45292", "2024-01-01", code="mmm-yy"),
    a_number("a month in Japanese", "45322", "2024-01-31", code='yyyy"年"m"月"'.replace('"', "&quot;")),
    a_number("the first day of 1900", "1", "1900-01-01", code=ISO),
    a_number("the day before the one that never was", "59", "1900-02-28", code=ISO),
    a_number("the day that never was", "60", None, code=ISO),
    a_number("the day after the one that never was", "61", "1900-03-01", code=ISO),
    a_number("day zero", "0", None, code=ISO),
    a_number("a day before 1900", "-1", None, code=ISO),
    a_number("the last day", "2958465", "9999-12-31", code=ISO),
    a_number("the day after the last", "2958466", None, code=ISO),
    a_number("day zero counted from 1904", "0", "1904-01-01", code=ISO, from_1904=True),
    a_number("a day counted from 1904", "43860", "2024-01-31", code=ISO, from_1904=True),
    a_number("a day that shows no time but has one", "45322.5", "2024-01-31T12:00:00", code=ISO),
    a_number("a moment", "45322.52083333333", "2024-01-31T12:30:00", code=MOMENT),
    a_number("a midnight", "45322", "2024-01-31T00:00:00", code=MOMENT),
    a_number("a moment with thousandths", "45322.500001157", "2024-01-31T12:00:00.1", code=MOMENT),
    a_number("a moment a hair before midnight", "45322.99999999999", "2024-02-01T00:00:00", code=MOMENT),
    a_number("a time", "0.5208333333333334", "12:30:00", code=CLOCK),
    a_number("a time of the afternoon", "0.75", "18:00:00", code="h:mm AM/PM"),
    a_number("midnight as a time", "0", "00:00:00", code=CLOCK),
    a_number("minutes and seconds", "0.0103009259259259", "00:14:50", code="mm:ss.0"),
    a_number("a duration of more than a day", "1.5625", "37:30:00", code=HOURS),
    a_number("a duration in minutes", "0.5", "12:00:00", code="[mm]:ss"),
    a_number("a negative duration", "-0.5", None, code=HOURS),
    Case(
        "built-in formats of days and times",
        parts(rows(number("A1", "45322", 1) + number("B1", "45322.25", 2) + number("C1", "0.25", 3)))
        | {
            "xl/styles.xml": '<styleSheet><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/>'
            '<xf numFmtId="20"/></cellXfs></styleSheet>'
        },
        [["2024-01-31", "2024-01-31T06:00:00", "06:00:00"]],
    ),
    Case("a day before 1900 as text", line(text("A1", "1899-12-31")), [["1899-12-31"]]),
    Case(
        "days written as ISO text",
        line(
            cell("A1", "2024-01-31", kind="d"), cell("B1", "2024-01-31T00:00:00", kind="d"),
            cell("C1", "2024-01-31T12:30:00.5", kind="d"), cell("D1", "12:30:00", kind="d"),
            cell("E1", "2024-01-31T00:00:00", kind="d", style=1), formats=(MOMENT,),
        ),
        [["2024-01-31", "2024-01-31", "2024-01-31T12:30:00.5", "12:30:00", "2024-01-31T00:00:00"]],
    ),
    Case("an ISO day that is none", line(cell("A1", "PT1H", kind="d")), [["PT1H"]], {"A1": "PT1H"}),
)  # fmt: skip

TEXTS = (
    a_text("a number stored as text", "00123", "00123"),
    a_text("a long number stored as text", "12345678901234567890", "12345678901234567890"),
    a_text("a day stored as text", "31/12/2024", "31/12/2024"),
    a_text("an apostrophe in front", "'0123", "'0123"),
    a_text("white space around", "  a b \t", "  a b \t"),
    a_text("white space alone", "   ", "   "),
    a_text("line breaks", "a\nb&#13;c", "a\nb\rc"),
    a_text("a carriage return escaped", "a_x000D_\nb", "a\r\nb"),
    a_text("an escape of an escape", "_x005F_x000D_", "_x000D_"),
    a_text("a NUL escaped", "a_x0000_b", "a\x00b"),
    a_text("a tab escaped", "a_x0009_b", "a\tb"),
    a_text("what is no escape", "_x12_ _xZZZZ_", "_x12_ _xZZZZ_"),
    a_text("a pair of surrogates escaped", "_xD83D__xDE00_", "😀"),
    a_text("entities", "&lt;a&gt; &amp; &quot;b&quot;", '<a> & "b"'),
    a_text("characters by number", "&#x1F600;&#233;", "😀é"),
    a_text("delimiters and quotes", 'a,b;c"d"', 'a,b;c"d"'),
    a_text("a closing bracket twice", "a]] b]", "a]] b]"),
    a_text("what looks like a formula", "=1+1", "=1+1"),
    a_text("what looks like an error", "#N/A", "#N/A"),
    a_text("a no-break space", "a\u00a0b\u200b", "a\u00a0b\u200b"),
    a_text("decomposed letters", "e\u0301", "e\u0301"),
    Case(
        "half a pair of surrogates",
        line(text("A1", "a_xD800_")), [["a_xD800_"]], {"A1": "a_xD800_"}, ids=("X37",),
    ),
    Case("an empty text", line(text("A1", "x") + text("B1", "") + text("C1", "y")), [["x", "", "y"]]),
    Case("character data", line('<c r="A1" t="inlineStr"><is><t><![CDATA[<b>&]]></t></is></c>'), [["<b>&"]]),
    Case(
        "rich text within the cell",
        line('<c r="A1" t="inlineStr"><is><r><rPr><b/></rPr><t>bold</t></r><r><t> plain</t></r></is></c>'),
        [["bold plain"]],
    ),
    Case(
        "shared texts: rich, spoken, kept spaces, empty",
        line(
            *(cell(f"{letter}1", str(at), kind="s") for at, letter in enumerate("ABCD")), cell("E1", "0", kind="s"),
            texts="<si><r><t>ri</t></r><r><t>ch</t></r></si>"
            '<si><t>東京</t><rPh sb="0" eb="2"><t>トウキョウ</t></rPh><phoneticPr fontId="1"/></si>'
            '<si><t xml:space="preserve"> a </t></si><si><t/></si>',
        ),
        [["rich", "東京", " a ", "", "rich"]],
    ),
    Case(
        "a shared text with half a pair of surrogates",
        line(cell("A1", "0", kind="s"), cell("B1", "1", kind="s"), texts="<si><t>ok</t></si><si><t>_xDC00_</t></si>"),
        [["ok", "_xDC00_"]], {"B1": "_xDC00_"}, ids=("X37",),
    ),
)  # fmt: skip

TRUTHS = (
    Case(
        "truth values",
        line(cell("A1", "1", kind="b"), cell("B1", "0", kind="b"), cell("C1", "true", kind="b")),
        [["true", "false", "true"]], ids=("X35",),
    ),
    Case("a truth value that is none", line(cell("A1", "2", kind="b")), [["2"]], {"A1": "2"}),
    Case(
        "error cells",
        line(*(cell(f"{letter}1", word, kind="e") for letter, word in zip(
            "ABCDEFG", ("#DIV/0!", "#REF!", "#N/A", "#NAME?", "#NUM!", "#VALUE!", "#SPILL!"), strict=True))),
        [["#DIV/0!", "#REF!", "#N/A", "#NAME?", "#NUM!", "#VALUE!", "#SPILL!"]],
        {"A1": "#DIV/0!", "B1": "#REF!", "C1": "#N/A", "D1": "#NAME?", "E1": "#NUM!", "F1": "#VALUE!", "G1": "#SPILL!"},
        ids=("X24",),
    ),
    Case("an error cell without a word", line('<c r="A1" t="e"/>'), [["#=?"]], {"A1": "#=?"}),
    Case("a cell of an unknown kind", line(cell("A1", "x", kind="z")), [["x"]], {"A1": "x"}),
    Case(
        "formulas with results",
        line(
            cell("A1", "2", formula="1+1"), cell("B1", "ab", kind="str", formula="&quot;a&quot;&amp;&quot;b&quot;"),
            cell("C1", "1", kind="b", formula="TRUE()"), cell("D1", "45322", style=1, formula="TODAY()"),
            cell("E1", "", kind="str", formula="&quot;&quot;"), cell("F1", "3"), formats=(ISO,),
        ),
        [["2", "ab", "true", "2024-01-31", "", "3"]],
        notes=("5 cells hold formulas; their stored results are used.",), ids=("X26",),
    ),
    Case(
        "formulas without results",
        line('<c r="A1"><f>A2+1</f></c>', '<c r="B1"><f>1&lt;2</f><v/></c>', '<c r="C1" t="b"><f>X</f><v></v></c>'),
        [["=A2+1", "=1<2", "=X"]], {"A1": "=A2+1", "B1": "=1<2", "C1": "=X"}, ids=("X25",),
    ),
    Case(
        "a formula of text without a result",
        line('<c r="A1" t="str"><f>B1</f></c>', '<c r="B1" t="str"><f>C1</f><v/></c>', number("C1", "1")),
        [["=B1", "", "1"]], {"A1": "=B1"}, notes=("1 cell holds a formula; its stored result is used.",),
    ),
    Case(
        "a shared formula",
        parts(rows(
            '<c r="A1"><f t="shared" ref="A1:A3" si="0">B1*2</f><v>2</v></c>',
            '<c r="A2"><f t="shared" si="0"/><v>4</v></c>', '<c r="A3"><f t="shared" si="0"/></c>',
        )),
        [["2"], ["4"], ["=?"]], {"A3": "=?"},
        notes=("2 cells hold formulas; their stored results are used.",),
    ),
    Case(
        "a formula that is an error",
        line(cell("A1", "#REF!", kind="e", formula="Gone!A1")), [["#REF!"]], {"A1": "#REF!"},
        notes=("1 cell holds a formula; its stored result is used.",),
    ),
)  # fmt: skip

CASES = (*NUMBERS, *DAYS, *TEXTS, *TRUTHS)
