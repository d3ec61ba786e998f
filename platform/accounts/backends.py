"""Who a name and a password belong to: a tenant's user inside a tenant, an operator outside."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.http import HttpRequest

from accounts.models import User
from accounts.operators.models import Operator
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

    def get_user(self, user_id: int) -> User | None:
        return None if tenant_or_none() is None else super().get_user(user_id)


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
