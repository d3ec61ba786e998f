"""Names of a generated model's pages.

Stock templates reverse `admin:datasets_ds7_change` and the like. No such pattern can stand in a URL
configuration, which is per process, while datasets are per tenant. This resolver translates the name to
`datasets_row_change` with the dataset as an argument, and back when a path is resolved.
"""

from __future__ import annotations

import re
from typing import Any

from django.urls import ResolverMatch, URLResolver

_GENERATED = re.compile(r"datasets_ds(\d+)_([a-z_]+)")
ROW_PREFIX = "datasets_row_"


class RowsURLResolver(URLResolver):
    """A resolver that knows the pages of every dataset.

    Its own pattern must be empty, with `admin/` one level below: `reverse()` wraps a namespaced resolver
    with a prefix into a plain URLResolver, and this class would be passed over.
    """

    def _reverse_with_prefix(self, lookup_view: Any, _prefix: str, *args: Any, **kwargs: Any) -> str:
        generated = _GENERATED.fullmatch(lookup_view) if isinstance(lookup_view, str) else None
        if generated:
            lookup_view = ROW_PREFIX + generated[2]
            if kwargs:
                kwargs = {"dataset_id": int(generated[1]), **kwargs}
            else:
                args = (int(generated[1]), *args)
        return super()._reverse_with_prefix(lookup_view, _prefix, *args, **kwargs)  # type: ignore[misc,no-any-return]

    def resolve(self, path: str) -> ResolverMatch:
        match = super().resolve(path)
        name = match.url_name or ""
        if name.startswith(ROW_PREFIX):
            # Stock code compares this with the name it would reverse, to keep a list's filters.
            match.url_name = f"datasets_ds{match.kwargs['dataset_id']}_{name.removeprefix(ROW_PREFIX)}"
        return match
