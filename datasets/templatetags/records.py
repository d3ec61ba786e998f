"""What the pages of records need besides what the admin gives them."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.simple_tag(takes_context=True)
def grid_data(context: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a list's cells are edited with, or None for who may edit none."""
    shown = context["cl"]
    found: dict[str, Any] | None = shown.model_admin.grid_of(context["request"], list(shown.result_list))
    return found
