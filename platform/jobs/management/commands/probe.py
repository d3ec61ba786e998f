"""`probe`: is a worker alive? `rowhouse probe` answers without coming here, as Django's start would take longer."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from jobs import probe


class Command(BaseCommand):
    """Pass the words on."""

    help = "Say whether a worker is alive, by its signs of life."
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        sys.exit(probe.main(argv[2:]))

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(probe.main([]))
