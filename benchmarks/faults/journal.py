"""What was asked for and what was answered, as the one who asked saw it: one JSON line per operation.

An operation is `ok` (acknowledged), `fail` (refused with a reason) or `unknown` (the connection was lost, it
may have happened or not). The checker holds the product to what was acknowledged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation: what, in which tenant, how it ended, and its facts."""

    op: str
    tenant: str
    outcome: str
    facts: dict[str, Any] = field(default_factory=dict)


class Journal:
    """A file of entries in the order they ended; one process appends, any may read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, op: str, tenant: str, outcome: str, **facts: Any) -> None:
        """Append an entry; it is in the file when this returns."""
        entry = Entry(op, tenant, outcome, facts)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")

    def entries(self, op: str | None = None, tenant: str | None = None) -> Iterator[Entry]:
        """Yield the entries in order, of one operation or tenant if named."""
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            entry = Entry(**json.loads(line))
            if op in (None, entry.op) and tenant in (None, entry.tenant):
                yield entry


@dataclass(frozen=True, slots=True)
class File:
    """An upload, made again from its numbers whenever it is needed: `bad` of its rows are refused."""

    tenant: str
    first: int
    count: int
    salt: int
    bad: int = 0

    def records(self) -> dict[int, tuple[str, int]]:
        """Return what it brings, by key. Files of the same keys agree on about a quarter of the records."""
        return {
            number: (f"{self.tenant} order {number}", self._amount(number))
            for number in range(self.first, self.first + self.count)
        }

    def _amount(self, number: int) -> int:
        return number if (number + self.salt) % 4 == 0 else number * 10 + self.salt

    def bad_rows(self) -> list[int]:
        """Return the numbers of its refused rows as a person sees them: the header is 1."""
        return [self.count + 2 + at for at in range(self.bad)]

    def content(self) -> bytes:
        """Return the CSV."""
        lines = ["id,name,amount"]
        lines += [f"{number},{name},{amount}" for number, (name, amount) in self.records().items()]
        lines += [f"{10**6 + at},{self.tenant} bad order,no number" for at in range(self.bad)]
        return "\n".join(lines).encode()
