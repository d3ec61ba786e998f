"""Exports: every dataset as a file in the tenant's own storage, every hour, with history and retention."""
