"""Who asks: the person of a token, and what the token lets him do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings
from django.db.models import Q, QuerySet
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import User
from accounts.tokens.models import ApiToken, Scope
from accounts.tokens.services import TokenRefused, note_use, token_of
from core.clock import now
from core.errors import RowhouseError
from core.limits import take
from datasets import access
from datasets.models import Dataset

# What a scope lets see of a dataset, by the right its person must have.
RIGHTS = {Scope.READ: "view", Scope.IMPORT: "import", Scope.EXPORT: "export"}


class ScopeMissing(RowhouseError):
    """The token may not do this, whatever its person may."""

    code = "scope-missing"
    status = 403


class TokenAuthentication(KnoxAuthentication):
    """`Authorization: Bearer rwh_…`; sessions and cookies count for nothing."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        """Return the person and the token.

        :raises AuthenticationFailed: nobody may come in with it.
        """
        try:
            found = token_of(token.decode("ascii", "replace"))
        except TokenRefused as refused:
            raise AuthenticationFailed(refused.message, code=refused.code) from None
        return found.user, found

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class HasScope(BasePermission):
    """Whoever has a token with one of the view's scopes; without any, every token will do."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, ApiToken):
            return False
        wanted = getattr(view, "scopes", ())
        if wanted and not any(request.auth.has_scope(one) for one in wanted):
            raise ScopeMissing(f"This token lacks the scope “{wanted[0]}”. Make one that has it.")
        return True


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose program asks, by which token."""

    user: User
    token: ApiToken

    @classmethod
    def of(cls, request: Request) -> Caller:
        """Return who sent a request that has been let in."""
        return cls(cast("User", request.user), cast("ApiToken", request.auth))

    def require(self, scope: Scope) -> None:
        """Go on only if the token has a scope.

        :raises ScopeMissing: it has not.
        """
        if not self.token.has_scope(scope):
            raise ScopeMissing(f"This token lacks the scope “{scope}”. Make one that has it.")

    def datasets(self, *scopes: Scope) -> QuerySet[Dataset]:
        """Return the datasets in which the person may do what one of these scopes is for, as far as the token goes."""
        rights = [RIGHTS[one] for one in scopes or tuple(Scope) if self.token.has_scope(one)]
        allowed = Q(pk__in=())
        for right in rights:
            allowed |= Q(pk__in=access.datasets_for(self.user, right).order_by().values("pk"))
        found = Dataset.objects.filter(allowed)
        return found if self.token.datasets is None else found.filter(pk__in=self.token.datasets)

    def narrowed(self, field: str = "dataset") -> Q:
        """Return the condition that what a field names is within the token's datasets."""
        return Q() if self.token.datasets is None else Q(**{f"{field}__in": self.token.datasets})


def count_and_note(request: Request) -> None:
    """Count a request against the person's and the tenant's limit, and note that the token was used.

    :raises TooMany: too many were made within the minute.
    """
    caller = Caller.of(request)
    request._request._cached_user = caller.user  # type: ignore[attr-defined] # as Django's own sign-in leaves it, for logs
    person, tenant = settings.ROWHOUSE_API_PERSON_PER_MINUTE, settings.ROWHOUSE_API_TENANT_PER_MINUTE
    take(scope="api.person", subject=str(caller.user.pk), limit=person, per_seconds=60)
    take(scope="api.tenant", subject="", limit=tenant, per_seconds=60)
    note_use(caller.token, request.META.get("REMOTE_ADDR"), now())


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema tells of tokens."""

    target_class = "rowhouse.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of your page of API tokens: `rwh_…`.",
        }
