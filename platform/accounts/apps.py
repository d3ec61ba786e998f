from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from django.apps import AppConfig

from jobs.kinds import JobKind


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"
    job_kinds: ClassVar = {
        # Who is signed in at a read-only tenant, and has forgotten the password, is let in too.
        "accounts.reset": JobKind(
            run="accounts.tasks.send_reset", title="Mail for a new password", writes=False
        ),
    }
    quota_used: ClassVar = {"users": "accounts.quotas.users"}
    # What each page needs; tests/test_pages_need_rights.py says how it is written.
    page_rights: ClassVar[dict[str, str]] = {
        "accounts_invitation": "open",
        "accounts_password_forgotten": "open",
        "accounts_password_new": "open",
        "account_login": "open",
        "mfa_authenticate": "open",
        "account_reauthenticate": "person",
        "mfa_reauthenticate": "person",
        "mfa_reauthenticate_webauthn": "person",
        "mfa_index": "person",
        "mfa_list_webauthn": "person",
        "mfa_activate_totp": "person",
        "mfa_deactivate_totp": "nobody",  # what he has not is not removed
        "mfa_add_webauthn": "person",
        "mfa_remove_webauthn": "person",  # he is asked to confirm who he is, and then told that it is none of his
        "mfa_view_recovery_codes": "nobody",
        "mfa_generate_recovery_codes": "person",
        "accounts_sign_in": "person / nobody",
        "accounts_sign_out_there": "nobody / person",
        "accounts_sign_out_everywhere": "nobody / person",
        "accounts_factor_roles": "perm:accounts.change_user",
        "accounts_user_sign_in": "perm:accounts.change_user / nobody",
        "accounts_user_factors_reset": "nobody / perm:accounts.change_user",
        "accounts_user_session_end": "nobody / perm:accounts.change_user",
        "accounts_user_sessions_end": "nobody / perm:accounts.change_user",
        "accounts_user_how_they_sign_in": "perm:accounts.change_user",
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

    def ready(self) -> None:
        # Their receivers are connected when they are loaded.
        import_module("accounts.recording")
        import_module("accounts.sessions")
