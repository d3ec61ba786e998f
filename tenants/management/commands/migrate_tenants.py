from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import FAILED, Result, RowhouseCommand
from core.words import count
from tenants import fanout, template
from tenants.models import MigrationOutcome
from tenants.planning import behind


class Command(RowhouseCommand):
    help = "Migrate the platform's own schema, the template, then every tenant's. --check only says what is behind."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="change nothing; exit 1 when a schema is behind"
        )
        parser.add_argument(
            "--canaries",
            type=int,
            default=fanout.CANARIES,
            help="how many tenants come first, of which none may fail if the others are to follow",
        )

    def run(self, **options: Any) -> Result:
        if options["check"]:
            return self._check()
        report = fanout.migrate_all(canaries=options["canaries"])
        schemas: list[dict[str, Any]] = []
        if report.public_migrated:
            schemas.append({"schema": "public", "tenant": "", "outcome": "migrated"})
        schemas += [
            {
                "schema": one.schema,
                "tenant": one.slug,
                "outcome": _word(one),
                "seconds": round(one.seconds, 3),
            }
            | ({"error": one.error} if one.error else {})
            for one in report.outcomes
        ]
        failed = [one.slug for one in report.failed]
        done = len(schemas) - len(failed)
        lines = [f"{count(done, 'schema')} migrated."] if done or failed else ["Every schema is up to date."]
        lines += [f"{one.slug} failed and is as it was before: {one.error}" for one in report.failed]
        if report.left:
            lines.append(
                f"{count(len(report.left), 'tenant')} not tried, because one of the first failed:"
                f" {', '.join(report.left)}."
            )
        if report.taken_in:
            lines.append(
                f"{count(len(report.taken_in), 'schema')} had tables of an earlier release's pods, which are"
                " their tenants' now. Run it again when the last of those pods has left."
            )
        if failed:
            lines.append("Mend the cause, then run it again: what is done stays done.")
        data = {"run": str(report.run), "schemas": schemas, "failed": failed, "left": report.left}
        data["taken_in"] = report.taken_in
        return Result(data, lines, FAILED if failed else 0)

    def _check(self) -> Result:
        tenants = fanout.tenants_to_migrate()
        found = list(behind([fanout.PUBLIC, *tenants]))
        found += [schema for schema in template.strays_among(tenants) if schema not in found]
        names = [tenants[one].slug if one in tenants else one for one in found]
        lines = [f"{name} is behind. Run `rowhouse migrate_tenants`." for name in names]
        return Result({"behind": names}, lines or ["Every schema is up to date."], FAILED if names else 0)


def _word(outcome: MigrationOutcome) -> str:
    return "failed" if outcome.state == MigrationOutcome.State.FAILED else "migrated"
