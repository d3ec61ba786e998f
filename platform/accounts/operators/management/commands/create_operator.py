from __future__ import annotations

import secrets
from typing import Any

from django.core.management.base import CommandParser

from accounts.operators.models import Operator
from audit.services import record
from core.command import NotAllowed, Result, RowhouseCommand


class Command(RowhouseCommand):
    help = "Let somebody into the operator site."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("--name", default="")

    def run(self, **options: Any) -> Result:
        if Operator.objects.filter(email__iexact=options["email"]).exists():
            raise NotAllowed(f"{options['email']} is an operator already.")
        password = secrets.token_urlsafe(12)
        operator = Operator.objects.create_operator(
            email=options["email"], password=password, name=options["name"]
        )
        record("accounts.operator.created", actor="command line", target=operator)
        return Result(
            {"email": operator.email, "password": password},
            [f"{operator.email} can sign in at /operator/ with the password {password} (shown this once)."],
        )
