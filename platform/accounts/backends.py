"""Who a name and a password belong to: a tenant's user inside a tenant, an operator outside."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.http import HttpRequest

from accounts.factors import with_factors
from accounts.models import User
from accounts.operators.models import Operator
from core.clock import now
from core.tenancy import tenant_or_none


class TenantBackend(ModelBackend):
    """Django's backend, inside a tenant alone."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        if tenant_or_none() is None:
            return None
        return super().authenticate(request, username=username, password=password, **kwargs)

    def user_can_authenticate(self, user: User | None) -> bool:  # type: ignore[override] # our users alone
        """Return whether somebody may sign in with a password: an operator who was let in has none, whatever is set."""
        return user is not None and not user.is_operator_entry and super().user_can_authenticate(user)

    def get_user(self, user_id: int) -> User | None:
        """Return who a session belongs to. An operator's ends with the time he was let in for.

        What the person lacks is asked in the same statement (`must_enrol`): a rule holds from the next request on.
        """
        if tenant_or_none() is None:
            return None
        user = with_factors().filter(pk=user_id).first()
        if user is not None and user.entry_ends_at is not None:
            return user if user.is_active and user.entry_ends_at > now() else None
        return user if self.user_can_authenticate(user) else None


class OperatorBackend(BaseBackend):
    """Operators, on the operator site alone."""

    def authenticate(  # type: ignore[override] # an operator is not a tenant's user
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Operator | None:
        if tenant_or_none() is not None or not username or password is None:
            return None
        operator = Operator.objects.filter(email__iexact=username).first()
        if operator is None:
            Operator().set_password(password)  # the same time as for a known address
            return None
        return operator if operator.is_active and operator.check_password(password) else None

    def get_user(self, user_id: int) -> Operator | None:  # type: ignore[override] # not a tenant's user
        if tenant_or_none() is not None:
            return None
        return Operator.objects.filter(pk=user_id, is_active=True).first()
