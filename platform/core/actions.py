"""A mend for unfold, until it knows the admin of Django 6.1."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ActionLocation, ModelAdmin
from django.http import HttpRequest


class CurrentActionChoices:
    """Mixin of an admin with actions, before unfold's ModelAdmin, which overrides this without the location."""

    def get_action_choices(
        self,
        request: HttpRequest,
        default_choices: Any = None,
        action_location: ActionLocation = ActionLocation.CHANGE_LIST,
    ) -> list[tuple[str, str]]:
        chosen = default_choices or [("", "Select action")]
        return ModelAdmin.get_action_choices(self, request, chosen, action_location)  # type: ignore[arg-type]
