"""What every view of the API shares: who may ask, how often, and what a page of a list is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tokens.models import Scope
from core.errors import RowhouseError
from rowhouse.api.authentication import Caller, count_and_note

MOST_ON_A_PAGE = 200
MOST_NUMBER = 2**63 - 1


class UnknownParameter(RowhouseError):
    """The address has a parameter that this list does not know."""

    code = "unknown-parameter"
    status = 422


class ApiView(APIView):
    """A view of the API. `scopes`: a token needs one of them; none: any token will do."""

    scopes: ClassVar[tuple[Scope, ...]] = ()

    def check_throttles(self, request: Request) -> None:
        """Count the request, which has been let in."""
        count_and_note(request)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers["Cache-Control"] = "no-store"
        return response

    def caller(self, request: Request) -> Caller:
        """Return who asks."""
        return Caller.of(request)


class PageAsked(serializers.Serializer[Any]):
    """Which page of a list, the newest first."""

    after = serializers.IntegerField(
        required=False, min_value=1, max_value=MOST_NUMBER, help_text="Only what comes after this number."
    )
    n = serializers.IntegerField(
        default=50, min_value=1, max_value=MOST_ON_A_PAGE, help_text="How many on a page."
    )


def asked(request: Request, wanted: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """Return what the address asks for.

    :raises UnknownParameter: it has a parameter that is not among the wanted.
    :raises ValidationError: one cannot be read.
    """
    form = wanted(data={name: request.query_params[name] for name in request.query_params})
    if unknown := [name for name in request.query_params if name not in form.fields]:
        raise UnknownParameter(
            f"This list does not know “{unknown[0][:100]}”. It takes {', '.join(form.fields)}."
        )
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def page(
    request: Request, found: Iterable[Any], size: int, told: Callable[[Any], Any], place: Callable[[Any], Any]
) -> Response:
    """Return a page of `size` at most; `found` has one more where there is a next page.

    :param told: what is told of one.
    :param place: where one stands, for `after` of the next page.
    """
    rows = list(found)
    shown = rows[:size]
    further = next_url(request, place(shown[-1])) if len(rows) > size else None
    return Response({"results": [told(one) for one in shown], "next": further})


def next_url(request: Request, after: object) -> str:
    """Return the address of the next page: this one, after a place."""
    pairs = [
        (name, value) for name, values in request.query_params.lists() for value in values if name != "after"
    ]
    return request.build_absolute_uri(f"{request.path}?{urlencode([*pairs, ('after', str(after))])}")


def newest_first(found: QuerySet[Any], asked_for: dict[str, Any]) -> QuerySet[Any]:
    """Return one more than a page of rows, by their numbers downwards."""
    if after := asked_for.get("after"):
        found = found.filter(pk__lt=after)
    return found.order_by("-pk")[: asked_for["n"] + 1]


def number_or_404(number: int) -> int:
    """Return a number of the address that can be one of a row.

    :raises Http404: none can have it.
    """
    if number > MOST_NUMBER:
        raise Http404
    return number
