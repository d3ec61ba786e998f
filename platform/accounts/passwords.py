"""What a password may be: long enough, not longer than can be hashed cheaply, and none that everybody tries first."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError


class MaximumLengthValidator:
    """Refuses a password beyond a length: hashing a book would keep a processor busy."""

    def __init__(self, max_length: int = 128) -> None:
        self.max_length = max_length

    def validate(self, password: str, user: Any = None) -> None:
        """Refuse a password that is too long.

        :raises ValidationError: it is.
        """
        if len(password) > self.max_length:
            raise ValidationError(
                f"This password is too long. It has at most {self.max_length} characters.",
                code="password_too_long",
            )

    def get_help_text(self) -> str:
        """Return what stands beside the field."""
        return f"Your password has at most {self.max_length} characters."
