"""Small awkward CSV files with everything that must come of them."""

from __future__ import annotations

from importer.tests.corpus_csv import dialects, encodings, headers, quotes, refusals, rows
from importer.tests.corpus_csv.case import Case

CASES: dict[str, Case] = {}
for module in (encodings, dialects, quotes, headers, rows, refusals):
    for each in module.CASES:
        assert each.name not in CASES, f"two cases are called {each.name}"
        CASES[each.name] = each
