from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from accounts.factors import reset_factors
from core.command import Result


class Command(TenantCommand):
    help = "Take the second factors from somebody of a tenant who lost them, and end all of that person's sessions."
    also_suspended = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL")

    def run_in_tenant(self, **options: Any) -> Result:
        user = self.person(options["email"])
        reset_factors(user=user, by="command line")
        return Result(
            {"email": user.email},
            [
                f"{user.email} is signed out everywhere, and signs in with the password alone to add a new factor."
            ],
        )
