from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"
    role_rights = {
        "owner": (
            "accounts.view_user",
            "accounts.add_user",
            "accounts.change_user",
            "auth.view_group",
        ),
    }
