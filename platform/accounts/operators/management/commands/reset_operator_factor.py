from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.operators.factors import reset_factor
from accounts.operators.models import Operator
from core.command import NotAllowed, Result, RowhouseCommand


class Command(RowhouseCommand):
    help = "Take the second factor from an operator who lost it, and end all of that operator's sessions."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL")

    def run(self, **options: Any) -> Result:
        operator = Operator.objects.filter(email__iexact=options["email"]).first()
        if operator is None:
            raise NotAllowed(f"{options['email']} is no operator.")
        had_one = reset_factor(operator=operator, by="command line")
        said = (
            "is signed out everywhere, and adds a new factor at the next sign-in" if had_one else "had none"
        )
        return Result({"email": operator.email, "had_one": had_one}, [f"{operator.email} {said}."])
