"""Bytes and letters: no text is ever read wrongly without a word."""

from __future__ import annotations

from importer.tests.corpus_csv.case import case

GUESS = ("not UTF-8",)
WORDS = {
    "cp1252": ("Müller", "crème brûlée"),
    "iso8859-15": ("cœur", "5 € für Šárka"),
    "cp1250": ("Łódź", "Zażółć gęślą jaźń"),
    "iso8859-2": ("Łódź", "Zażółć gęślą jaźń"),
    "cp1251": ("Москва", "Съешь ещё этих мягких французских булок"),
    "koi8-r": ("Москва", "Съешь ещё этих мягких французских булок"),
    "iso8859-5": ("Москва", "Съешь ещё этих мягких французских булок"),
    "cp866": ("Москва", "Съешь ещё этих мягких французских булок"),
    "cp1253": ("Αθήνα", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία"),
    "cp1254": ("İstanbul", "Pijamalı hasta yağız şoföre çabucak güvendi"),
    "cp1255": ("ירושלים", "דג סקרן שט בים מאוכזב ולפתע מצא חברה"),
    "cp1256": ("القاهرة", "نص حكيم له سر قاطع وذو شأن عظيم"),
    "cp1257": ("Rīga", "Glāžšķūņa rūķīši dzērumā čiepj"),
    "cp850": ("Köln", "Grüße über Straßen"),
    "mac-roman": ("café", "élève à Besançon"),
    "cp874": ("กรุงเทพ", "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า"),
    "cp932": ("東京都", "いろはにほへと ちりぬるを"),
    "euc_jp": ("東京都", "いろはにほへと ちりぬるを"),
    "gb18030": ("北京市", "我们都是中国人 他们在上海工作"),
    "big5": ("臺北市", "我們都是臺灣人 他們在高雄工作"),
    "cp949": ("서울특별시", "키스의 고유조건은 입술끼리 만나야 하고"),
}
TEXTS = "id,name,text\n" + "1,{0},{1}\n2,plain,{1}\n"

GUESSED = [
    case(
        f"guess-{name}",
        TEXTS.format(*words),
        ("1", words[0], words[1]),
        ("2", "plain", words[1]),
        encoding=name,
        columns="id:integer name:text text:text",
        dialect={"encoding": name},
        doubts=GUESS,
    )
    for name, words in WORDS.items()
]
CHOSEN = [
    case(
        f"chosen-{name}",
        TEXTS.format(*words),
        ("1", words[0], words[1]),
        ("2", "plain", words[1]),
        encoding=name,
        columns="id:integer name:text text:text",
        dialect={"encoding": name},
        chosen={"encoding": name},
    )
    for name, words in (
        WORDS | {"utf-16-le": ("é", "東"), "utf-16-be": ("é", "東"), "utf-8": ("é", "東")}
    ).items()
]
ANN = (("1", "Ann"), ("2", "Zoë"))
TEXT = "id,name\n1,Ann\n2,Zoë\n"

CASES = [
    *GUESSED,
    *CHOSEN,
    case("utf-8", TEXT, *ANN, dialect={"encoding": "utf-8"}),
    case("utf-8-with-mark", TEXT, *ANN, encoding="utf-8-sig", labels=("id", "name")),
    case("utf-8-with-mark-and-quoted-label", '"id","name"\n1,Ann\n2,Zoë\n', *ANN, encoding="utf-8-sig"),
    case("utf-8-with-two-marks", b"\xef\xbb\xbf\xef\xbb\xbf" + TEXT.encode(), *ANN, labels=("id", "name")),
    case("utf-16-with-mark", TEXT, *ANN, encoding="utf-16", dialect={"encoding": "utf-16-le"}),
    case(
        "utf-16-be-with-mark", b"\xfe\xff" + TEXT.encode("utf-16-be"), *ANN, dialect={"encoding": "utf-16-be"}
    ),
    case(
        "utf-16-tabs-as-excel-saves",
        "id\tname\r\n1\tAnn\r\n2\tZoë\r\n",
        *ANN,
        encoding="utf-16",
        dialect={"delimiter": "\t"},
    ),
    case("utf-16-without-mark", TEXT, encoding="utf-16-le", refusal="encoding-doubtful"),
    case("utf-16-be-without-mark", TEXT, encoding="utf-16-be", refusal="encoding-doubtful"),
    case(
        "utf-16-japanese-without-mark",
        "id,name\n1,東京都\n2,大阪府\n",
        encoding="utf-16-le",
        refusal="encoding-doubtful",
    ),
    case(
        "utf-16-cut-within-a-letter",
        b"\xff\xfe" + "id,name\n1,Ann\n2,Zoë".encode("utf-16-le")[:-1],
        ("1", "Ann"),
        issues=[(3, 3, "name", "encoding-error")],
    ),
    case(
        "utf-16-half-pair",
        b"\xff\xfe" + "id,name\n1,A\ud800nn\n2,Zoë\n".encode("utf-16-le", "surrogatepass"),
        ("2", "Zoë"),
        issues=[(2, 2, "name", "encoding-error")],
    ),
    case("utf-16-emoji", "id,name\n1,😀\n2,Zoë\n", ("1", "😀"), ("2", "Zoë"), encoding="utf-16"),
    case(
        "one-bad-byte-in-utf-8",
        "id,name\n1,é\n2,é\n".encode() + b"3,caf\xe9\n4,ok\n",
        ("1", "é"),
        ("2", "é"),
        ("4", "ok"),
        issues=[(4, 4, "name", "encoding-error")],
        doubts=("is UTF-8, but 1 place",),
        rules={4: "At byte 23 of the file"},
    ),
    case("bad-byte-in-the-header", b"id,na\xc0\xafme\n1,a\n", refusal="encoding-doubtful"),
    case(
        "overlong-form-in-a-cell",
        b"id,name\n1,\xc0\xaf\n2,ok\n",
        ("2", "ok"),
        issues=[(2, 2, "name", "encoding-error")],
        doubts=("is UTF-8, but",),
    ),
    case(
        "surrogates-written-as-utf-8",
        b"id,name\n1,\xed\xa0\xbd\xed\xb8\x80\n2,ok\n",
        ("2", "ok"),
        issues=[(2, 2, "name", "encoding-error")],
        doubts=("is UTF-8, but",),
    ),
    case("replacement-character-is-text", "id,name\n1,a\ufffdb\n", ("1", "a\ufffdb")),
    case(
        "unknown-byte-of-a-code-page",
        b"id,name\n1,\x81\n2,\xe9\n",
        ("2", "é"),
        chosen={"encoding": "windows-1252"},
        issues=[(2, 2, "name", "encoding-error")],
    ),
    case("nul-in-a-cell", b"id,name\n1,a\x00b\n2,ok\n", ("2", "ok"), issues=[(2, 2, "name", "type-error")]),
    case("utf-32", TEXT, encoding="utf-32", refusal="wrong-file-kind"),
    case("emoji-and-combining", "id,name\n1,👩‍👧\n2,e\u0301\n", ("1", "👩‍👧"), ("2", "e\u0301")),
    case(
        "line-separators-are-text",
        "id,name\n1,a\u2028b\n2,c\u0085d\n3,e\x0cf\n4,g\x1dh\n",
        ("1", "a\u2028b"),
        ("2", "c\u0085d"),
        ("3", "e\x0cf"),
        ("4", "g\x1dh"),
    ),
    case("no-break-spaces-are-text", "id,name\n1,a\u00a0b\n2,\u00a0\n", ("1", "a\u00a0b"), ("2", "\u00a0")),
    case(
        "shift-jis-with-a-backslash-in-a-letter",
        "id,name\n1,表示ソース\n2,十能予定表\n",
        ("1", "表示ソース"),
        ("2", "十能予定表"),
        encoding="cp932",
        chosen={"encoding": "cp932"},
    ),
    case("chosen-encoding-unknown", TEXT, chosen={"encoding": "klingon"}, refusal="bad-override"),
    case(
        "mixed-western-languages",
        "id,name\n1,Müller\n2,crème\n3,niño\n4,São\n",
        ("1", "Müller"),
        ("2", "crème"),
        ("3", "niño"),
        ("4", "São"),
        encoding="cp1252",
        dialect={"encoding": "cp1252"},
        doubts=("“Müller”, “crème”",),
    ),
]
