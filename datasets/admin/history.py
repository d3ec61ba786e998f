"""History pages without the holes of the stock ones.

simple-history's form view lets a user who may only view save a former version, and neither of its views
asks `get_queryset`. Every admin of ours that shows history stands on this class.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin

from accounts.models import User
from core.actions import CurrentActionChoices


class GuardedHistoryAdmin(CurrentActionChoices, SimpleHistoryAdmin):
    """SimpleHistoryAdmin bound to `get_queryset`; a revert needs the right to change."""

    # Whether a former version may be saved again from its page.
    can_revert = True

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.require_in_scope(request, object_id)
        return super().history_view(request, object_id, extra_context)  # type: ignore[no-any-return]

    def history_form_view(
        self,
        request: HttpRequest,
        object_id: str,
        version_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self.require_in_scope(request, object_id)
        if request.method == "POST" and self.revert_disabled(request):
            raise PermissionDenied("You may not put back a former version here.")
        return super().history_form_view(request, object_id, version_id, extra_context)  # type: ignore[no-any-return]

    def revert_disabled(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (self.can_revert and self.has_change_permission(request, obj))

    def get_history_queryset(
        self, request: HttpRequest, history_manager: Any, pk_name: str, object_id: Any
    ) -> QuerySet[Any]:
        versions: QuerySet[Any] = history_manager.filter(**{pk_name: object_id})
        is_relation = not isinstance(history_manager.model.history_user, property)
        return versions.select_related("history_user") if is_relation else versions

    def require_in_scope(self, request: HttpRequest, object_id: str) -> None:
        """Go on only if the object is one this user's list could show.

        :raises Http404: it is not, or the identifier is none.
        """
        if self.get_object(request, object_id) is None:
            raise Http404

    def set_history_delta_changes(
        self, request: HttpRequest, historical_records: Iterable[Any], foreign_keys_are_objs: bool = True
    ) -> None:
        versions = list(historical_records)
        super().set_history_delta_changes(request, versions, foreign_keys_are_objs)
        attach_users(versions)


def attach_users(versions: Iterable[Any]) -> None:
    """Fetch who wrote these versions of records at once. One query."""
    wanted = [version for version in versions if isinstance(type(version).history_user, property)]
    ids = {version.history_user_id for version in wanted if version.history_user_id}
    users = User.objects.in_bulk(ids) if ids else {}
    for version in wanted:
        version.cached_user = users.get(version.history_user_id)
