"""Texts that would become script where a page forgets that they are data; and the list of naughty strings."""

from __future__ import annotations

import json
from functools import cache

from tests.source import ROOT

# Each calls alert(), or asks another host, should anything run it.
SCRIPTS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//x.example/x.js></SCRIPT>",
    "</script><script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "`><img src=x onerror=alert(1)>",
    "</title><img src=x onerror=alert(1)>",
    "</textarea><img src=x onerror=alert(1)>",
    "</select></option><img src=x onerror=alert(1)>",
    "--><img src=x onerror=alert(1)><!--",
    "]]><img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<iframe src=javascript:alert(1)>",
    '<iframe srcdoc="<script>parent.alert(1)</script>">',
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<base href=//x.example/>",
    "<link rel=stylesheet href=//x.example/x.css>",
    "<meta http-equiv=refresh content='0;url=//x.example'>",
    "<style>*{background:url(//x.example/x)}</style>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>x</details>",
    "<video><source onerror=alert(1)></video>",
    "<input autofocus onfocus=alert(1)>",
    "<select autofocus onfocus=alert(1)>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:alert(1)",
    '" autofocus onfocus=alert(1) x="',
    "' onmouseover='alert(1)",
    "x onerror=alert(1)",
    '";alert(1)//',
    "';alert(1)//",
    "\\';alert(1)//",
    "${alert(1)}",
    "`${alert(1)}`",
    "{{ alert(1) }}",
    "{{constructor.constructor('alert(1)')()}}",
    "{% debug %}",
    '<div x-data x-init="alert(1)">',
    '" x-data x-init="alert(1)',
    "<div hx-get=/ hx-trigger=load hx-on::load=alert(1)>",
    "<button hx-on:click=alert(1)>x</button>",
    "<form action=//x.example><button>x",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "\u202e<script>alert(1)</script>\u202c",
    "＜script＞alert(1)＜/script＞",
    "<a href=//x.example target=_blank>x</a>",
]
# Of those, what must be seen when a page shows them as they are.
CAUGHT = [one for one in SCRIPTS if one.startswith("<") and not one.startswith(("<scr<", "<noscript"))]


@cache
def naughty_strings() -> list[str]:
    """Return the Big List of Naughty Strings, without the empty one (its licence stands beside it)."""
    text = (ROOT / "tests" / "data" / "blns.json").read_text(encoding="utf-8")
    return [one for one in json.loads(text) if one]
