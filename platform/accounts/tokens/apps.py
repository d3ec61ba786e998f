from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class TokensConfig(AppConfig):
    name = "accounts.tokens"
    label = "tokens"
    verbose_name = "API tokens"
    # What each page needs; tests/test_pages_need_rights.py says how it is written. Everybody sees his own.
    page_rights: ClassVar[dict[str, str]] = {
        "tokens_apitoken_changelist": "person",
        "tokens_apitoken_add": "person",
        "tokens_apitoken_revoke": "perm:tokens.view_apitoken / perm:tokens.revoke_apitoken",
        "tokens_apitoken_sign_in": "nobody / person",
        "tokens_apitoken_reference": "person / nobody",
        "tokens_apitoken_schema": "person / nobody",
    }
    role_rights = {"owner": ("tokens.view_apitoken", "tokens.revoke_apitoken")}

    def ready(self) -> None:
        from accounts.tokens import recent  # noqa: F401, PLC0415 -- connects its receiver once models are loaded
