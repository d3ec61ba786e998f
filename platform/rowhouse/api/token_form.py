"""The form of a new token."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.models import User
from accounts.tokens.models import Scope
from accounts.tokens.services import MOST_DAYS
from datasets.access import datasets_for
from datasets.models import Dataset


class TokenForm(forms.Form):
    """What a token is for, what it may do, where, and how long."""

    name = forms.CharField(
        label="What it is for",
        max_length=100,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="So that you and your owners know which program has it.",
    )
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        choices=Scope.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        error_messages={"required": "Choose what it may do."},
        help_text="Never more than you may yourself at the moment it is used.",
    )
    datasets = forms.ModelMultipleChoiceField(
        label="Only in these datasets",
        queryset=Dataset.objects.none(),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        error_messages={
            "invalid_choice": "One of these datasets is not there any more, or not yours to see.",
            "invalid_pk_value": "One of these datasets is not there any more, or not yours to see.",
        },
        help_text="None chosen: every dataset you may reach, those to come too.",
    )
    days = forms.IntegerField(
        label="Good for days",
        min_value=1,
        max_value=MOST_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=f"At most {MOST_DAYS}. A program that lives longer gets a new token before.",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["days"].initial = settings.ROWHOUSE_API_ACCESS_DAYS
        rights = ("view", "import", "export")
        own = {pk for right in rights for pk in datasets_for(user, right).values_list("pk", flat=True)}
        field = self.fields["datasets"]
        assert isinstance(field, forms.ModelMultipleChoiceField)
        field.queryset = Dataset.objects.filter(pk__in=sorted(own)).order_by("title")
        if not own:
            del self.fields["datasets"]

    def values(self) -> dict[str, Any]:
        """Return what `create_token` takes; the form is valid."""
        chosen = [one.pk for one in self.cleaned_data.get("datasets") or ()]
        return {
            "name": self.cleaned_data["name"],
            "scopes": self.cleaned_data["scopes"],
            "days": self.cleaned_data["days"],
            "datasets": chosen or None,
        }
