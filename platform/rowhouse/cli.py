"""The `rowhouse` command: the same as `python manage.py`."""

from __future__ import annotations

import atexit
import os
import sys

# They touch no database, so they start no server either.
WITHOUT_DATABASE = frozenset({"help", "--help", "-h", "version", "--version", "collectstatic", "probe"})


def main() -> None:
    """Run a management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rowhouse.settings")
    _take_data_folder(sys.argv)
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 -- after the settings' name
    from django.core.management import execute_from_command_line  # noqa: PLC0415 -- after the settings' name

    from core.errors import RowhouseError  # noqa: PLC0415 -- after the settings' name

    try:
        if len(sys.argv) > 1 and sys.argv[1] not in WITHOUT_DATABASE and "--help" not in sys.argv:
            _start_embedded()
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"error[settings]: {error}")
    except RowhouseError as error:
        print(f"error[{error.code}]: {error.message}", file=sys.stderr)  # noqa: T201 -- a command's answer
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
