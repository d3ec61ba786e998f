"""The one clock: services and tasks read it at the edge and pass `now` on."""

from django.utils.timezone import now

__all__ = ["now"]
