"""The `rowhouse` command: the same as `python manage.py`."""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import sys
from typing import NoReturn

# They touch no database, so they start no server either.
WITHOUT_DATABASE = frozenset({"help", "--help", "-h", "version", "--version", "collectstatic"})
# They tell what is wrong, or touch nothing that could be reached.
LOOKING = WITHOUT_DATABASE | {"check", "doctor"}


def main() -> None:
    """Run a management command; `probe` alone runs without Django, whose start would cost more than it does."""
    if sys.argv[1:2] == ["probe"]:
        from jobs import probe  # noqa: PLC0415 -- the only one that is needed then

        sys.exit(probe.main(sys.argv[2:]))
    if sys.argv[1:2] == ["worker"]:
        # As process 1 of a container it would not hear of it until the command has its own handler.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rowhouse.settings")
    _take_data_folder(sys.argv)
    gc.disable()  # what the start makes stays; looking through it for garbage again and again finds none
    import django  # noqa: PLC0415 -- after the settings' name
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 -- after the settings' name
    from django.core.management import execute_from_command_line  # noqa: PLC0415 -- after the settings' name
    from django.db import DatabaseError  # noqa: PLC0415 -- after the settings' name

    from core.disk import is_full  # noqa: PLC0415 -- after the settings' name
    from core.errors import RowhouseError  # noqa: PLC0415 -- after the settings' name

    try:
        if len(sys.argv) > 1 and sys.argv[1] not in WITHOUT_DATABASE and "--help" not in sys.argv:
            _start_embedded()
        if sys.argv[1:2] == ["worker"]:
            _count_in_files()
        django.setup()
        _require_safe()
        gc.freeze()
        gc.enable()
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if sys.argv[1:2] == ["doctor"]:
            _tell_doctor(str(error))
        _refuse("settings", str(error))
    except (OSError, DatabaseError, RowhouseError) as error:
        from django.conf import settings  # noqa: PLC0415 -- after the settings' name

        if is_full(error, settings.ROWHOUSE_DATA.resolve()):
            _refuse(
                "disk-full", f"The disk of {settings.ROWHOUSE_DATA} is full. Make room, then start again."
            )
        if isinstance(error, RowhouseError):
            _refuse(error.code, error.message)
        raise


def _require_safe() -> None:
    """Go on only if this installation is safe to start; what merely looks at it may always."""
    from core.checks import require_safe  # noqa: PLC0415 -- after the settings' name

    if len(sys.argv) > 1 and sys.argv[1] not in LOOKING and "--help" not in sys.argv:
        require_safe()


def _count_in_files() -> None:
    """Have a worker's processes count where its first can tell it all: decided before anything is counted."""
    from django.conf import settings  # noqa: PLC0415 -- after the settings' name

    if settings.ROWHOUSE_METRICS_PORT:
        from core.metrics_folder import open_folder  # noqa: PLC0415 -- only where it is told

        open_folder(settings.ROWHOUSE_RUN_DIR, "worker")


def _refuse(code: str, sentence: str) -> NoReturn:
    sys.exit(f"error[{code}]: {sentence}")


def _tell_doctor(sentence: str) -> NoReturn:
    """Say in the doctor's own words that settings refuse to be read: nothing else can be looked at."""
    from rowhouse.doctor.findings import Level, failure  # noqa: PLC0415 -- only the doctor needs it

    found = failure("settings", sentence, "Nothing else was looked at.")
    said = json.dumps({"level": Level.FAILURE, "findings": [found.as_dict()]})
    sys.stdout.write(f"{said if '--json' in sys.argv else found}\n")
    sys.exit(1)


def _take_data_folder(argv: list[str]) -> None:
    """Hand `demo --data DIR` to the settings, which are read before any command's arguments."""
    if "demo" not in argv[1:2]:
        return
    for at, word in enumerate(argv):
        if word == "--data" and at + 1 < len(argv):
            os.environ["ROWHOUSE_DATA"] = argv[at + 1]
        elif word.startswith("--data="):
            os.environ["ROWHOUSE_DATA"] = word.removeprefix("--data=")


def _start_embedded() -> None:
    """Start the embedded server where no database is given, and stop it at the end if nobody else is on it."""
    from django.conf import settings  # noqa: PLC0415 -- after the settings' name

    if settings.DATABASE_URL:
        return
    from core.embedded import EmbeddedServer  # noqa: PLC0415 -- only where no database is given

    server = EmbeddedServer(settings.ROWHOUSE_DATA.resolve() / "postgres")
    was_running = server.is_running()
    server.start()
    if not was_running:
        atexit.register(server.stop_if_idle)
