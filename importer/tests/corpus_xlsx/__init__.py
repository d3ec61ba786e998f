"""Small awkward workbooks, each with what must become of it."""

from __future__ import annotations

from importer.tests.corpus_xlsx import files, layout, refused, values
from importer.tests.corpus_xlsx.case import Case

CASES: tuple[Case, ...] = (*values.CASES, *layout.CASES, *files.CASES, *refused.CASES)
