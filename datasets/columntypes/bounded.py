"""Types with a smallest and a largest value."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from datasets.columntypes.base import BadValue, ColumnType
from datasets.columntypes.grammar import sql_literal

if TYPE_CHECKING:
    from datasets.spec import ColumnSpec


class BoundedType(ColumnType):
    """A type whose Python values have an order; `minimum` and `maximum` are both allowed themselves."""

    def hold_bounds(self, canonical: str, column: ColumnSpec) -> str:
        """Return `canonical`.

        :raises BadValue: it is below the column's minimum or above its maximum.
        """
        low, high = column.options.minimum, column.options.maximum
        if low is None and high is None:
            return canonical
        value: Any = self.to_python(canonical)
        if low is not None and value < _python_value(self, low):
            raise BadValue(f"The smallest value allowed is {low}.", code="constraint-error")
        if high is not None and value > _python_value(self, high):
            raise BadValue(f"The largest value allowed is {high}.", code="constraint-error")
        return canonical

    def bound_checks(self, column: ColumnSpec) -> tuple[str, ...]:
        """Return the CHECK expressions of the column's minimum and maximum."""
        cast = f"::{self.sql_type(column)}"
        low, high = column.options.minimum, column.options.maximum
        checks = () if low is None else (f"{{c}} >= {sql_literal(low)}{cast}",)
        return checks if high is None else (*checks, f"{{c}} <= {sql_literal(high)}{cast}")


@lru_cache(maxsize=1024)
def _python_value(kind: ColumnType, canonical: str) -> Any:
    return kind.to_python(canonical)
