"""The API's own description (OpenAPI 3.1), made of the views."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rowhouse.api.base import ApiView

REFUSALS = {
    "401": "No token, or one that is not good here any more.",
    "403": "The person or the token may not.",
    "404": "Nothing of this name or number is here for the token.",
    "409": "Not in this state, or not any more.",
    "422": "What was sent cannot be.",
    "429": "Too many requests; `Retry-After` says when.",
}


_TEXT = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "A refusal (RFC 9457). `code` says which, the same for ever; `detail` is for people.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        **dict.fromkeys(("type", "title", "detail", "code"), _TEXT),
        "status": {"type": "integer"},
        "errors": {
            "type": "object",
            "description": "What is wrong with which field.",
            "additionalProperties": {"type": "array", "items": _TEXT},
        },
    },
}


def with_problems(result: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Say of every operation how it refuses; a hook of drf-spectacular."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, said in REFUSALS.items():
                operation["responses"].setdefault(status, {"description": said, "content": content})
    return result


@cache
def document() -> dict[str, Any]:
    """Return the document, the same for every tenant."""
    generator = SchemaGenerator(urlconf="rowhouse.api.urls")  # type: ignore[no-untyped-call]
    made: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


class Schema(ApiView):
    """The description."""

    @extend_schema(operation_id="get_schema", tags=["Token"], responses={200: dict})
    def get(self, request: Request) -> Response:
        """Show this document; any token will do."""
        return Response(document())
