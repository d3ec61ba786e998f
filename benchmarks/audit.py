"""What it costs that the log of events can prove itself, and whether it finds every edit and nothing else.

    python -m benchmarks.audit --events 1000000 --edits 1000

1. Cost: events written one by one, each in a transaction as a request's are, with signature and their share of the
   sealing, beside the same rows without either; in turns. `ratio_chain` is ours by plain at the median.
2. Honest: so many events of every shape are signed, sealed and anchored; `false_alarms` is what `verify` finds.
3. Edited: a superuser changes, removes, adds, copies and reorders at random; `missed` of `edits` were not found by
   number, `beside` findings name an event nobody touched.

The last line is one JSON object; times in seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from benchmarks.imports_ground import open_ground
from benchmarks.tenancy_backup import set_up

AT_ONCE = 2000
ROUNDS = 7
EVENTS_OF_A_ROUND = 1500
REST = (
    "at, name, actor_id, actor_label, target_type, target_id, target_label, address, data, cause, uid, origin,"
    " signature"
)


def main() -> None:
    """Measure, print, and fail if an edit was missed or an honest event accused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.events < asked.edits * 4:
        parser.error("four events for each edit are needed")
    with open_ground() as ground:
        set_up(ground)
        found = measure(asked.events, asked.edits, seed=asked.seed)
    for name, value in found.items():
        print(f"{name:24} {value:>14,.3f}")
    print(json.dumps(found))
    sys.exit(bool(found["false_alarms"] or found["missed"] or found["beside"]))


def measure(events: int, edits: int, *, seed: int) -> dict[str, float]:
    """Return every figure by its name, of a tenant made for it."""
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings
    from tenants.services import provision_tenant, request_tenant  # noqa: PLC0415 -- after the settings

    tenant = request_tenant(
        slug="measured", name="m", owner_email="owner@measured.example", provision_now=True
    )
    provision_tenant(tenant=tenant, owner_password="not used by anybody")
    with in_tenant(tenant.ref):
        figures = _cost() | find_edits(events, edits, random.Random(seed))
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {name: float(value) for name, value in figures.items()}


def find_edits(events: int, edits: int, chance: random.Random) -> dict[str, float]:
    """Write, seal and edit events of the current tenant, and return what `verify` says before and after."""
    from audit.verifying import verify  # noqa: PLC0415 -- after the settings

    figures: dict[str, float] = {"seal_seconds": _timed(lambda: _fill(events, chance))}
    started = time.perf_counter()
    verdict = verify()
    figures["verify_seconds"] = time.perf_counter() - started
    figures["events"], figures["false_alarms"] = verdict.events, len(verdict.findings)
    expected = _edit(edits, chance)
    named = {(one.kind.value, one.event) for one in verify().findings}
    figures["edits"] = edits
    figures["missed"], figures["beside"] = len(expected - named), len(named - expected)
    return figures


def _cost() -> dict[str, float]:
    from django.db import connection  # noqa: PLC0415 -- after the settings

    from audit.models import Event  # noqa: PLC0415 -- after the settings
    from audit.sealing import seal_events  # noqa: PLC0415 -- after the settings
    from audit.services import record  # noqa: PLC0415 -- after the settings
    from core.clock import now  # noqa: PLC0415 -- after the settings

    def plain() -> None:
        for number in range(EVENTS_OF_A_ROUND):
            Event.objects.create(
                at=now(), name="bench.thing.done", actor_label="somebody", data={"number": number}
            )

    def ours() -> None:
        for number in range(EVENTS_OF_A_ROUND):
            record("bench.thing.done", actor="somebody", number=number)
        seal_events()

    seal_events()
    with connection.cursor() as cursor:
        cursor.execute("GRANT DELETE ON audit_event TO CURRENT_USER")  # which only its owner can
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(ROUNDS):
        times["ours"].append(_timed(ours))
        times["plain"].append(_timed(plain))
        Event.objects.filter(signature=None).delete()
    plain_us, ours_us = (
        statistics.median(times[name]) / EVENTS_OF_A_ROUND * 1e6 for name in ("plain", "ours")
    )
    return {"plain_us": plain_us, "ours_us": ours_us, "ratio_chain": ours_us / plain_us}


def _fill(events: int, chance: random.Random) -> None:
    """Write so many events as `record` writes them, many in a statement, over a year; then seal and anchor them."""
    from django.conf import settings  # noqa: PLC0415 -- after the settings

    from audit.anchors import write_anchor  # noqa: PLC0415 -- after the settings
    from audit.chain import sign  # noqa: PLC0415 -- after the settings
    from audit.models import Event  # noqa: PLC0415 -- after the settings
    from audit.sealing import seal_events  # noqa: PLC0415 -- after the settings
    from core.clock import now  # noqa: PLC0415 -- after the settings

    moment, key = now(), settings.ROWHOUSE_AUDIT_KEYS[0]
    for begin in range(0, events, AT_ONCE):
        rows = []
        for number in range(begin, min(begin + AT_ONCE, events)):
            event = Event(
                at=moment + timedelta(microseconds=number),
                uid=UUID(int=chance.getrandbits(128)),
                origin="measured",
                cause=chance.choice(["", "", "job:17"]),
                name=f"bench.thing.{number % 13}",
                actor_id=number % 97 or None,
                actor_label=f"Zoë {number % 97} <zoe@example.org>",
                target_type="datasets.dataset",
                target_id=str(number),
                target_label="Kunden & Läden ☃",
                address=chance.choice([None, "203.0.113.9", "2001:db8::1", "::ffff:203.0.113.9"]),
                data={
                    "part": number / 7,
                    "whole": float(number),
                    "list": [1, 2.50, None, "ß"],
                    "deep": {"b": 1, "a": {}},
                },
            )
            event.signature = sign(event.facts().text(), key)
            rows.append(event)
        Event.objects.bulk_create(rows)
    while seal_events(most=events):
        pass
    write_anchor()


def _edit(edits: int, chance: random.Random) -> set[tuple[str, int]]:
    """Edit as a superuser does; return what must be found."""
    from django.db import connection  # noqa: PLC0415 -- after the settings

    from audit.models import Event  # noqa: PLC0415 -- after the settings

    numbers = list(Event.objects.order_by("pk").values_list("pk", flat=True))
    chosen = chance.sample(numbers[1:-1:2], edits)  # no two beside each other
    expected: set[tuple[str, int]] = set()
    with connection.cursor() as cursor:
        cursor.execute("GRANT UPDATE, DELETE ON audit_event TO CURRENT_USER")  # which only its owner can
        for number in chosen:
            chance.choice([_change, _remove, _insert, _reorder])(cursor, number, chance, expected)
    return expected


type _Expected = set[tuple[str, int]]


def _change(cursor: Any, number: int, chance: random.Random, expected: _Expected) -> None:
    change = chance.choice(
        [
            "name = name || '!'", "actor_id = coalesce(actor_id, 0) + 1", "actor_label = ''", "target_id = 'x'",
            "at = at + interval '1 microsecond'", "address = '198.51.100.1'", "data = data || '{\"more\": 1}'",
            "signature = sha256(signature)", "uid = gen_random_uuid()", "origin = 'other'",
            "cause = cause || '!'",
        ]
    )  # fmt: skip
    cursor.execute(f"UPDATE audit_event SET {change} WHERE id = %s", [number])
    expected.add(("changed", number))


def _remove(cursor: Any, number: int, _chance: random.Random, expected: _Expected) -> None:
    cursor.execute("DELETE FROM audit_event WHERE id = %s", [number])
    expected.add(("removed", number))


def _insert(cursor: Any, number: int, chance: random.Random, expected: _Expected) -> None:
    source = (
        REST
        if chance.random() < 0.5
        else REST.replace("uid", "gen_random_uuid()").replace("at,", "now(),", 1)
    )
    cursor.execute(
        f"INSERT INTO audit_event ({REST}) SELECT {source} FROM audit_event WHERE id = %s RETURNING id",
        [number],
    )
    expected.add(("inserted", cursor.fetchone()[0]))


def _reorder(cursor: Any, number: int, _chance: random.Random, expected: _Expected) -> None:
    cursor.execute("SELECT min(id) FROM audit_event WHERE id > %s", [number])
    other = cursor.fetchone()[0]
    cursor.execute(
        f"UPDATE audit_event e SET ({REST}) = (SELECT {REST} FROM audit_event o WHERE o.id = %s + %s - e.id)"
        " WHERE e.id IN (%s, %s)",
        [number, other, number, other],
    )
    expected.update({("changed", number), ("changed", other)})


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
