"""What the tests of imports are written with."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jobs.services
from accounts.models import User
from core.tenancy import TenantRef, current_tenant
from datasets import changing
from datasets.change_models import Change
from datasets.models import Column, Dataset
from datasets.rows import get_row_model
from datasets.services import NewColumn, create_dataset
from datasets.spec import ColumnOptions
from importer import services
from importer.models import ImportJob
from jobs.kinds import Tell

ORDERS = (
    NewColumn("id", "integer", True, False, ColumnOptions()),
    NewColumn("status", "choice", True, False, ColumnOptions(choices=("new", "paid", "sent"))),
    NewColumn("amount", "decimal", False, False, ColumnOptions(precision=10, scale=2)),
)
GOOD = "id,status,amount,note\n1,new,10.00,call\n2,paid,20.50,\n3,sent,,later\n"


def make_orders(title: str = "Orders", *, unique_note: bool = False) -> Dataset:
    """A dataset whose key is the id; its notes may be unique."""
    note = NewColumn("note", "text", False, unique_note, ColumnOptions())
    return create_dataset(title=title, columns=(*ORDERS, note), key=("id",), by=None)


def person(role: str = "owner") -> User:
    """A user of the current tenant by their role."""
    return User.objects.get(email=f"{role}@{current_tenant().slug}.example")


def upload(
    dataset: Dataset, text: str | bytes = GOOD, *, name: str = "orders.csv", **options: Any
) -> ImportJob:
    """Upload a file and run its preview."""
    data = text.encode() if isinstance(text, str) else text
    options.setdefault("by", person())
    job = services.create_import(dataset=dataset, file=io.BytesIO(data), name=name, **options)
    return work(job)


def work(job: ImportJob) -> ImportJob:
    """Run all background work and return the import as it stands then."""
    jobs.services.run_pending()
    return ImportJob.objects.select_related("dataset").get(pk=job.pk)


def change_type(*, dataset: Dataset, column: Column, type: str, by: Any = None) -> None:
    """Change a column's type: check, confirm, make; nothing else is worked on."""
    change = confirmed_change(dataset=dataset, column=column, type=type, by=by)
    jobs.services.run_until_done(int(change.job_id))
    change.refresh_from_db()
    assert change.state == "CHANGE_SUCCEEDED", change.error


def confirmed_change(*, dataset: Dataset, column: Column, type: str, by: Any = None) -> Change:
    """Check and confirm a change of a column's type."""
    change = changing.propose_change(dataset=dataset, column=column, type=type, by=by)
    jobs.services.run_until_done(int(change.job_id))
    change.refresh_from_db()
    changing.confirm_change(change=change, by=by)
    return change


def merge(job: ImportJob, **options: Any) -> ImportJob:
    """Confirm a preview and run the merge."""
    options.setdefault("by", person())
    services.confirm_import(job=job, **options)
    return work(job)


def import_text(dataset: Dataset, text: str = GOOD, **options: Any) -> ImportJob:
    """Upload, preview, confirm and merge."""
    job = upload(dataset, text, **options)
    assert job.state == "PREVIEW_SUCCEEDED", job.error
    return merge(job)


def records(dataset: Dataset) -> list[tuple[Any, ...]]:
    """The dataset's records as tuples in the key's order."""
    spec = dataset.spec()
    model = get_row_model(dataset)
    return list(
        model._default_manager.order_by(*spec.key).values_list(*(column.name for column in spec.columns))
    )


def versions(dataset: Dataset) -> int:
    """How many rows the dataset's history has."""
    return int(get_row_model(dataset).history.count())


def counts(job: ImportJob) -> tuple[int, int, int, int]:
    """Created, updated, unchanged, rejected."""
    return job.created_rows, job.updated_rows, job.unchanged_rows, job.rejected_rows


@dataclass
class ShortSlice:
    """A slice without any time: every chunk is one."""

    cursor: dict[str, Any]
    payload: dict[str, Any] = field(default_factory=dict)
    tenant: TenantRef | None = None
    job_id: int = 0
    step: int = 0
    attempt: int = 1

    def time_left(self) -> float:
        return 0.0

    def is_cancelled(self) -> bool:
        return False

    @contextmanager
    def long_statement(self) -> Iterator[Tell]:
        yield lambda processed, total=None: None
