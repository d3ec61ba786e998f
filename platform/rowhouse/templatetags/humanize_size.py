from __future__ import annotations

from django import template
from django.template.defaultfilters import filesizeformat

register = template.Library()


@register.filter
def size(count: int | None) -> str:
    """Return bytes as people read them."""
    return filesizeformat(count or 0)
