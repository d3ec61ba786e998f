"""Stock records: a plain Django model that takes imports."""
