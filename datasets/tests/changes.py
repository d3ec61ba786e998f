"""A change of a definition from the question to its end, as tests of other things need it."""

from __future__ import annotations

from typing import Any

import jobs.services
from datasets import changing
from datasets.change_models import Change
from datasets.models import Dataset


def worked(change: Change) -> Change:
    """Do the change's job."""
    jobs.services.run_until_done(int(Change.objects.get(pk=change.pk).job_id))
    change.refresh_from_db()
    change.dataset.refresh_from_db()
    return change


def change_column(dataset: Dataset, label: str, type: str, **wanted: Any) -> Change:
    """Change a column's type or rules, which every record allows."""
    column = dataset.columns.get(label=label)
    change = worked(changing.propose_change(dataset=dataset, column=column, type=type, **wanted))
    changing.confirm_change(change=change)
    worked(change)
    assert (change.state, change.error) == ("CHANGE_SUCCEEDED", "")
    dataset.refresh_from_db()
    return change
