from __future__ import annotations

from typing import Any

from accounts.command import TenantCommand
from core.command import Result
from datasets import stats
from datasets.models import Dataset


class Command(TenantCommand):
    help = "List a tenant's datasets with the number of their records."

    def run_in_tenant(self, **options: Any) -> Result:
        datasets = list(Dataset.objects.order_by("slug"))
        counts = stats.record_counts([f"ds_{dataset.pk}" for dataset in datasets])
        rows, lines = [], []
        for dataset in datasets:
            count, is_exact = counts[f"ds_{dataset.pk}"]
            rows.append(
                {
                    "dataset": dataset.slug,
                    "title": dataset.title,
                    "records": count,
                    "is_exact": is_exact,
                    "definition_version": dataset.definition_version,
                }
            )
            label = stats.count_label(count, is_exact=is_exact)
            lines.append(f"{dataset.slug:<30} {label:>16} records  {dataset.title}")
        return Result({"datasets": rows}, lines or ["No datasets yet. `rowhouse create_dataset` makes one."])
