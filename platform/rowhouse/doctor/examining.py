"""`rowhouse doctor`: what this installation needs, each thing tried for real, with what to do where it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from rowhouse.doctor import database, network, storing, surroundings, working
from rowhouse.doctor.findings import Finding, Level, failure

logger = logging.getLogger(__name__)

ASK_OF_DATABASE: tuple[Callable[[], Iterator[Finding]], ...] = (working.migrations, working.workers)
ASK: tuple[Callable[[], Iterator[Finding]], ...] = (
    surroundings.versions,
    surroundings.place,
    surroundings.secrets,
    surroundings.folders,
    storing.storage,
    network.names,
    network.mail,
)


def examine() -> list[Finding]:
    """Look at everything; what cannot be looked at is a failure of its own, and stops nothing else."""
    findings = [one for ask in ASK for one in _asked(ask)]
    of_database = _asked(database.reach)
    findings += of_database
    if all(
        one.level != Level.FAILURE or one.check not in {"database", "database role"} for one in of_database
    ):
        findings += [one for ask in ASK_OF_DATABASE for one in _asked(ask)]
    return findings


def _asked(ask: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(ask())
    except Exception as error:  # whatever is wrong with one thing, the others are looked at
        logger.debug("The doctor could not look at something", exc_info=True)
        name = f"{ask.__module__.rpartition('.')[2]}.{ask.__name__}"
        found.append(
            failure(
                name, f"It could not be looked at: {type(error).__name__}: {error}", "Mend the others first."
            )
        )
    return found
