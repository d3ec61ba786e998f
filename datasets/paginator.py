"""Paging through records without counting them all."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet

from datasets.stats import EXACT_UP_TO, count_label, record_counts


class EstimatedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts up to EXACT_UP_TO records and pages as far; beyond that people narrow the list.

    The count is never below what there is: a list that believes itself short would load every record.
    """

    object_list: QuerySet[Any]
    template_name = "datasets/pagination.html"

    @cached_property
    def _counted(self) -> tuple[int, bool]:
        bounded = self._bounded_count()
        if bounded <= EXACT_UP_TO or self.is_filtered:
            return bounded, bounded <= EXACT_UP_TO
        table = self.object_list.model._meta.db_table
        return max(bounded, record_counts([table])[table][0]), False

    def _bounded_count(self) -> int:
        queryset = self.object_list
        return int(queryset.order_by()[: EXACT_UP_TO + 1].count())

    @property
    def is_filtered(self) -> bool:
        """Whether the list shows fewer than all records."""
        return bool(self.object_list.query.where)

    @cached_property
    def count(self) -> int:
        return self._counted[0]

    @property
    def count_label(self) -> str:
        """The count for people: `214`, `about 1,203,000` or `more than 10,000`."""
        count, is_exact = self._counted
        if is_exact or not self.is_filtered:
            return count_label(count, is_exact=is_exact)
        return f"more than {EXACT_UP_TO:,}"

    @cached_property
    def num_pages(self) -> int:
        shown = min(self.count, EXACT_UP_TO)
        return max(1, -(-shown // self.per_page))

    @property
    def is_cut(self) -> bool:
        """Whether there are records no page shows."""
        return self.count > self.num_pages * self.per_page
