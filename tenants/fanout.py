"""Migrating every tenant: what is behind is asked of many at once, and the same statements are made once for all.

Django's executor asks the catalog some hundred questions a tenant, renders the models of every migration and then
writes the same statements for each. Here a plan (`planning`) is made once, and each tenant runs it as one message in
one transaction, with the record of it. So a tenant is migrated or as it was before, and a run that was killed is
simply begun again. What cannot be planned is done by Django, tenant by tenant.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from time import perf_counter
from uuid import UUID, uuid4

from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from accounts.services import sync_roles
from core.tenancy import connection, in_tenant
from tenants import spares, template
from tenants.catalog import NotCopied
from tenants.migrating import SchemaBusy, migrate, patiently
from tenants.models import MigrationOutcome, Tenant
from tenants.planning import Name, Plan, behind, plan
from tenants.rights import literal, rights_script

PUBLIC = "public"
CANARIES = 3
OUTCOMES_KEPT = timedelta(days=90)

logger = logging.getLogger(__name__)

State = MigrationOutcome.State
Tell = Callable[[MigrationOutcome], None]


@dataclass(slots=True)
class Report:
    """What a run did, schema by schema. `left` were not tried, because tenants before them failed."""

    run: UUID
    outcomes: list[MigrationOutcome] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    public_migrated: bool = False
    # Schemas in which pods of an earlier release had made something since, which belongs to their tenants now.
    taken_in: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[MigrationOutcome]:
        return [one for one in self.outcomes if one.state == State.FAILED]


def tenants_to_migrate() -> dict[str, Tenant]:
    """Return the tenants whose schemas are kept up to the code, by schema, the oldest first."""
    states = [Tenant.State.ACTIVE, Tenant.State.SUSPENDED]
    return {one.schema_name: one for one in Tenant.objects.filter(state__in=states).order_by("pk")}


def migrate_all(*, canaries: int = CANARIES, tell: Tell | None = None) -> Report:
    """Migrate `public`, the template and every tenant that is behind; one run at a time, others wait for it.

    A tenant that fails is as it was before, and holds up no other; but of the first few (`canaries`) none may fail,
    or the run ends there. Begun again after a kill, it goes on with what is still behind.

    :raises SchemaBusy: a table of `public` was in use all the time.
    """
    with _one_run_at_a_time():
        report = Report(uuid4())
        if behind([PUBLIC]):
            migrate()
            report.public_migrated = True
        MigrationOutcome.objects.filter(at__lt=Now() - OUTCOMES_KEPT).delete()
        tried: set[str] = set()
        # Once more for those that older code has set up meanwhile.
        while found := {schema: missing for schema, missing in _lacking().items() if schema not in tried}:
            tried.update(found)
            _migrate(found, report, canaries, tell)
            if report.left:
                break
        if not report.left:
            failed = {one.schema for one in report.failed}
            report.taken_in = template.take_in_strays(tenants_to_migrate().keys() - failed)
        _renew_template()
        return report


@contextmanager
def _one_run_at_a_time() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('tenants.migrate'))")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtext('tenants.migrate'))")


def _lacking() -> dict[str, tuple[Name, ...]]:
    return behind(list(tenants_to_migrate()))


def _renew_template() -> None:
    """Make the template of this code, drop what is of earlier code, and have spares made."""
    try:
        template.drop_older(template.ensure())
        spares.drop_stale()
        spares.refill()
    except NotCopied as error:
        logger.warning("Tenants are set up by migrations: %s", error.message)


def _migrate(found: dict[str, tuple[Name, ...]], report: Report, canaries: int, tell: Tell | None) -> None:
    try:
        rights = rights_script()  # by which the template is made: what fails there touches no tenant
    except NotCopied as error:
        logger.warning("Django migrates each tenant: %s", error.message)
        rights = ""
    plans: dict[tuple[Name, ...], Plan] = {}
    waiting = [tenant for schema, tenant in tenants_to_migrate().items() if schema in found]
    for number, tenant in enumerate(waiting, start=1):
        missing = found[tenant.schema_name]
        if missing not in plans:
            plans[missing] = plan(missing, tenant.schema_name) if rights else Plan(missing, None)
        outcome = _migrate_one(tenant, plans[missing], rights, report.run)
        report.outcomes.append(outcome)
        if tell:
            tell(outcome)
        if report.failed and number <= canaries:
            report.left = [one.slug for one in waiting[number:]]
            return


def _migrate_one(tenant: Tenant, planned: Plan, rights: str, run: UUID) -> MigrationOutcome:
    began = perf_counter()
    found: list[MigrationOutcome] = []

    def note(state: MigrationOutcome.State, error: str = "") -> MigrationOutcome:
        seconds = perf_counter() - began
        return MigrationOutcome.objects.create(
            run=run, schema=tenant.schema_name, slug=tenant.slug, state=state, error=error, seconds=seconds
        )

    def replay() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            template.ensure_rights(cursor, tenant.schema_name)
            template.run_in(cursor, tenant.schema_name, _with_record(planned, rights))
            template.ensure_rights(cursor, tenant.schema_name)
            found.append(note(State.REPLAYED))

    if planned.statements is not None:
        try:
            template.hand_over(tenant.schema_name)  # an older one has no roles
            patiently(replay, tenant.schema_name)
            return found[-1]
        except SchemaBusy as error:
            return note(State.FAILED, error.message)
        except DatabaseError:
            logger.warning("The plan does not fit %s, which Django migrates", tenant.slug, exc_info=True)
    try:
        template.migrate_schema(tenant.ref)
        with in_tenant(tenant.ref):
            sync_roles()
    except Exception as error:  # a tenant's trouble is not the others'
        logger.exception("%s was not migrated", tenant.slug)
        return note(State.FAILED, str(error))
    return note(State.MIGRATED)


def _with_record(planned: Plan, rights: str) -> str:
    done = ", ".join(f"({literal(app)}, {literal(name)}, now())" for app, name in planned.missing)
    record = f"INSERT INTO django_migrations (app, name, applied) VALUES {done}"  # noqa: S608 -- quoted
    return ";\n".join(part for part in (planned.statements, record, rights) if part)
