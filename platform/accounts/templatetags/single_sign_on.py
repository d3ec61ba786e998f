"""The button of a tenant's own provider on the sign-in page."""

from __future__ import annotations

from typing import Any

from django import template

from accounts.single_sign_on.services import provider_or_none

register = template.Library()


@register.inclusion_tag("accounts/provider_button.html", takes_context=True)
def provider_button(context: dict[str, Any], onward: str = "") -> dict[str, Any]:
    """Return what the button is made of. `onward`: the page to lead to in the end."""
    provider = provider_or_none()
    return {
        "provider": provider if provider is not None and provider.is_on else None,
        "onward": onward,
        "csrf_token": context.get("csrf_token"),
    }
