"""Other checks for a dataset that has records already. One transaction and one event."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction

from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from core.tenancy import as_owner
from core.words import count
from datasets import ddl, rules, signals
from datasets.checks import check_sql, rule_of
from datasets.editing import held
from datasets.models import Dataset
from datasets.rules import NewCheck
from datasets.services import InvalidDefinition, stored_checks
from datasets.spec import CheckSpec, DatasetSpec


class ChecksBroken(RowhouseError):
    """Records that are there do not meet a check that was to hold."""

    code = "checks-broken"
    status = 422


@transaction.atomic
def set_checks(
    *, dataset: Dataset, checks: Sequence[NewCheck], seen: int | None = None, by: User | None = None
) -> None:
    """Put these checks in the place of a dataset's own. One that keeps its name stays the same check.

    :param seen: the version of the definition the person looked at; None takes any.
    :raises DefinitionOutdated: somebody changed the definition since.
    :raises InvalidDefinition: a check cannot be read, or two have one name.
    :raises ChecksBroken: a record does not meet one of them.
    :raises ChangeRunning: a change of a type, of rules or of the key is under way.
    :raises DatasetBusy: other work holds the dataset.
    :raises RowhouseError: an app above refuses, because it works on the dataset.
    """
    dataset = held(dataset, seen)
    before = dataset.spec()
    if found := rules.check_problems(checks, before.columns):
        raise InvalidDefinition(" ".join(found))
    dataset.checks = stored_checks(checks, list(dataset.columns.in_use()), before.checks)
    after = dataset.spec()
    if after.checks == before.checks:
        return
    _replace(before, after)
    dataset.definition_version += 1
    dataset._history_user = by  # type: ignore[attr-defined] # simple-history reads it
    dataset.save()
    signals.changed.send(sender=Dataset, dataset=dataset)
    record(
        "datasets.dataset.checks_changed", actor=by, target=dataset, before=[one.name for one in before.checks],
        after=[one.name for one in after.checks],
    )  # fmt: skip


@as_owner()
def _replace(before: DatasetSpec, after: DatasetSpec) -> None:
    former, later = ddl.dataset_checks(before), ddl.dataset_checks(after)
    changes = [f'DROP CONSTRAINT "{name}"' for name in former if later.get(name) != former[name]]
    added = [
        check
        for check in after.checks
        if (name := ddl.check_constraint(after, check)) and former.get(name) != later[name]
    ]
    changes += [f"ADD {later[ddl.check_constraint(after, check)]}" for check in added]
    with ddl.short_wait(), connection.cursor() as cursor:
        # From here on nobody writes: a record that was not looked at could not break a check.
        cursor.execute(f'LOCK TABLE "{after.table}" IN SHARE ROW EXCLUSIVE MODE')
        for check in added:
            _require_met(after, check)
        if changes:
            cursor.execute(f'ALTER TABLE "{after.table}" {", ".join(changes)}')


def _require_met(spec: DatasetSpec, check: CheckSpec) -> None:
    condition = check_sql(check, spec, lambda name: f'"{name}"')
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*), min(id) FROM "{spec.table}" WHERE {condition} IS FALSE')
        broken, first = cursor.fetchone()
    if broken:
        raise ChecksBroken(
            f"{rule_of(check, spec)} {count(broken, 'record')} {'does' if broken == 1 else 'do'} not meet this;"
            f" the first is record {first}. Correct them, then set the check."
        )
