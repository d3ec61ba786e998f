"""What the pages of records need besides what the admin gives them."""

from __future__ import annotations

import json
from typing import Any

from django import template

register = template.Library()


@register.simple_tag(takes_context=True)
def grid_data(context: dict[str, Any]) -> str:
    """Return what a list's cells are edited with, as JSON; empty for who may edit none."""
    shown = context["cl"]
    found = shown.model_admin.grid_of(context["request"], list(shown.result_list))
    return json.dumps(found) if found else ""
