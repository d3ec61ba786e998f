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
