"""A tenant's background work, as its own people see it."""
