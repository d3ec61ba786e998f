"""Whether this process can answer requests: the database is there, `public` is migrated, nobody has told it to end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from time import monotonic
from typing import Any

import psycopg2

from core.patience import Patient, StillAsking
from rowhouse.observing import draining
from rowhouse.observing.link import Link
from tenants.planning import Name, lacking

WAIT_SECONDS = 2.0  # Kubernetes gives a probe as long as its timeoutSeconds say, one second by default
FRESH_SECONDS = 1.0  # many probes at once are one question
MIGRATED_SECONDS = 60.0  # what was migrated is looked at again now and then: somebody may restore a database

DONE = """SELECT app, name FROM public.django_migrations"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether requests may come; if not, why, as a word for machines and a sentence for people."""

    is_ready: bool
    reason: str = ""
    message: str = ""

    @property
    def as_json(self) -> dict[str, Any]:
        if self.is_ready:
            return {"ready": True}
        return {"ready": False, "reason": self.reason, "message": self.message}


READY = Standing(is_ready=True)


class Readiness:
    """Looks at the database, one small query a probe, and at all migrations of `public` once a minute."""

    def __init__(self, link: Link | None = None) -> None:
        self._link = link or Link(seconds=2, name="rowhouse-probe")
        self._migrated_at: float | None = None
        self._patient = Patient(self._look, fresh_seconds=FRESH_SECONDS)

    def standing(self) -> Standing:
        """Return how this process stands. Never raises, never takes longer than two seconds."""
        if draining.is_draining():
            return Standing(False, "draining", "This process was told to end and takes no new work.")
        try:
            missing = self._patient.answer(wait_seconds=WAIT_SECONDS)
        except StillAsking:
            return Standing(False, "database", f"The database did not answer in {WAIT_SECONDS:g} s.")
        except psycopg2.Error:  # what it says names hosts and users
            return Standing(False, "database", "The database cannot be reached, or refuses to answer.")
        if missing:
            return Standing(
                False, "migrations", f"{len(missing)} migrations are missing. Run rowhouse migrate_tenants."
            )
        return READY

    def close(self) -> None:
        """Let its connection go."""
        self._link.close()

    def _look(self) -> tuple[Name, ...]:
        if self._migrated_at is not None and monotonic() - self._migrated_at < MIGRATED_SECONDS:
            self._link.ask("SELECT 1")
            return ()
        missing = missing_of_public(self._link)
        self._migrated_at = None if missing else monotonic()
        return missing


def missing_of_public(link: Link) -> tuple[Name, ...]:
    """Return the migrations that `public` lacks.

    :raises psycopg2.Error: the database does not answer.
    """
    try:
        done = {(str(app), str(name)) for app, name in link.ask(DONE)}
    except psycopg2.errors.UndefinedTable:
        done = set()
    return lacking(done)


@cache
def readiness() -> Readiness:
    """Return what this process knows of itself."""
    return Readiness()
