"""Users of one tenant. They live in the tenant's schema: nobody signs in at two tenants with one row."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from simple_history.models import HistoricalRecords

from accounts.provider_models import SignInProvider as SignInProvider  # Django looks for models here


class UserManager(BaseUserManager["User"]):
    """Creates users by their address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a user who can sign in; the address is kept in lower case."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractUser):
    """A person of one tenant. Every user may enter the admin; what they may do there is theirs by group or right."""

    username = None  # type: ignore[assignment] # the address is the name
    email = models.EmailField("e-mail address", unique=True)
    is_staff = True  # the admin is the product: being a user is being let in
    # What a session was begun under: counted up, all of the person's sessions end.
    session_round = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    # An operator who is inside for a while: no person of the tenant, without a password, let in until then.
    entry_ends_at = models.DateTimeField("operator, until", null=True, blank=True, editable=False)
    history = HistoricalRecords(
        excluded_fields=["password", "last_login", "session_round"], bases=[models.Model]
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment] # ours has no usernames

    class Meta:
        verbose_name = "user"
        constraints = [models.UniqueConstraint(Lower("email"), name="one_user_per_email_address")]

    @property
    def is_operator_entry(self) -> bool:
        """Return whether this is an operator who was let in for a while, or was."""
        return self.entry_ends_at is not None

    def __str__(self) -> str:
        return self.get_full_name() or self.email

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # Django asks for it at each request; sessions from before there were rounds are of round 0.
        found = str(super()._get_session_auth_hash(secret=secret))  # type: ignore[misc] # not in its stubs
        return f"{found}.{self.session_round}" if self.session_round else found


class FactorRule(models.Model):
    """A role whose people must have a second factor; one without a rule may have one."""

    role = models.CharField(max_length=150, unique=True)
    history = HistoricalRecords(bases=[models.Model])

    def __str__(self) -> str:
        return f"{self.role}: second factor"
