from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"
    quota_used: ClassVar = {"users": "accounts.quotas.users"}
    # What each page needs; tests/test_pages_need_rights.py says how it is written.
    page_rights: ClassVar[dict[str, str]] = {
        "accounts_invitation": "open",
        "account_login": "open",
        "mfa_authenticate": "open",
        "account_reauthenticate": "person",
        "mfa_reauthenticate": "person",
        "accounts_single_sign_on": "nobody / open",
        "accounts_single_sign_on_callback": "open / nobody",
        "accounts_signinprovider_changelist": "perm:accounts.view_signinprovider / perm:accounts.change_signinprovider",
        "accounts_signinprovider_try": "nobody / perm:accounts.change_signinprovider",
        "accounts_signinprovider_remove": "nobody / perm:accounts.change_signinprovider",
        "accounts_signinprovider_unlink": "nobody / perm:accounts.change_signinprovider",
        "accounts_user_changelist": "perm:accounts.view_user",
        "accounts_user_add": "perm:accounts.add_user",
        "accounts_user_change": "perm:accounts.view_user / perm:accounts.change_user",
        "accounts_user_history": "perm:accounts.view_user",
        "accounts_user_delete": "nobody",
        "auth_user_password_change": "perm:accounts.change_user",
        "auth_group_changelist": "perm:auth.view_group",
        "auth_group_add": "nobody",
        "auth_group_change": "perm:auth.view_group / nobody",
        "auth_group_history": "perm:auth.view_group",
        "auth_group_delete": "nobody",
    }
    role_rights = {
        "owner": (
            "accounts.view_user",
            "accounts.add_user",
            "accounts.change_user",
            "auth.view_group",
            "accounts.view_signinprovider",
            "accounts.change_signinprovider",
        ),
    }
