"""Who did what (events) and what a record was before (history)."""
