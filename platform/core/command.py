"""What every command shares: one result, as lines for people or one JSON object for scripts."""

from __future__ import annotations

import json
import sys
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandParser

from core.errors import RowhouseError

DONE, FAILED, REFUSED, WITH_REJECTS = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Result:
    """What a command did. `exit_code`: 0 done, 1 failed, 2 refused, 3 done with rejected rows."""

    data: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    exit_code: int = DONE


class RowhouseCommand(BaseCommand):
    """Base of our commands: `--json`, errors as `error[code]: sentence` on stderr, exit codes of the contract."""

    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        self.arguments(parser)

    def arguments(self, parser: CommandParser) -> None:
        """Add the command's own arguments."""

    @abstractmethod
    def run(self, **options: Any) -> Result:
        """Do the work.

        :raises RowhouseError: it was refused, or could not be done.
        """

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options.pop("json")
        try:
            # What it does can be told from what others do, in its lines and its events.
            with structlog.contextvars.bound_contextvars(command=type(self).__module__.rpartition(".")[2]):
                result = self.run(**options)
        except PermissionDenied as error:
            self.stderr.write(f"error[permission-denied]: {error}")
            sys.exit(REFUSED)
        except RowhouseError as error:
            self.stderr.write(f"error[{error.code}]: {error.message}")
            sys.exit(REFUSED if error.status in {400, 404, 409, 422} else FAILED)
        if as_json:
            self.stdout.write(json.dumps(result.data, ensure_ascii=False, default=str))
        else:
            for line in result.lines:
                self.stdout.write(line)
        if result.exit_code:
            sys.exit(result.exit_code)


class NotAllowed(RowhouseError):
    """A command's arguments do not fit together."""

    code = "usage"
    status = 422
