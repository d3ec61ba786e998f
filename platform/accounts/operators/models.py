from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower


class OperatorManager(BaseUserManager["Operator"]):
    def create_operator(self, *, email: str, password: str, name: str = "") -> Operator:
        """Create an operator who can sign in on the operator site."""
        operator = self.model(email=email.lower(), name=name)
        operator.set_password(password)
        operator.save()
        return operator


class Operator(AbstractBaseUser):
    """Runs the platform. Not a Django user: there is no table of users in `public`."""

    email = models.EmailField("e-mail address", unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    session_round = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    is_staff = True

    objects: ClassVar[OperatorManager] = OperatorManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="one_operator_per_email_address")]

    def __str__(self) -> str:
        return self.name or self.email

    # The admin asks these of whoever is signed in. The operator site holds only what operators may do.
    def has_perm(self, _perm: str, _obj: object = None) -> bool:
        return self.is_active

    def has_perms(self, _perms: object, _obj: object = None) -> bool:
        return self.is_active

    def has_module_perms(self, _app_label: str) -> bool:
        return self.is_active

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return str(self)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # As with a tenant's people: counted up, all of the operator's sessions end.
        found = str(super()._get_session_auth_hash(secret=secret))  # type: ignore[misc] # not in its stubs
        return f"{found}.{self.session_round}" if self.session_round else found


class OperatorFactor(models.Model):
    """An operator's second factor: codes of an app, and recovery codes for when it is lost.

    allauth's own table holds tenants' people, who are other rows in other schemas.
    """

    operator = models.OneToOneField(Operator, on_delete=models.CASCADE, related_name="factor")
    # {"secret": …, "recovery": […]}, sealed; a recovery code that was used is gone.
    sealed = models.TextField()
    used = models.JSONField(default=list)  # marks of the last codes: none is good twice
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"second factor of {self.operator}"
