"""What exports tell those who listen."""

from __future__ import annotations

from django.dispatch import Signal

# A run has succeeded or failed, or was missed: in the transaction that says so. Sends `run`.
run_ended = Signal()
