"""What nobody must ever write: a page that runs the SQL it is given, in the tenant of its host."""

from __future__ import annotations

from django.db import connection, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def run(request: HttpRequest) -> JsonResponse:
    """Run each text that is sent, in one transaction if asked for, and answer with all that came back."""
    texts = request.POST.getlist("sql")
    if request.POST.get("atomic"):
        with transaction.atomic():
            return JsonResponse({"answers": [_answer(text) for text in texts]})
    return JsonResponse({"answers": [_answer(text) for text in texts]})


def _answer(text: str) -> list[str]:
    with connection.cursor() as cursor:
        try:
            if connection.in_atomic_block:
                with transaction.atomic():
                    cursor.execute(text)
            else:
                cursor.execute(text)
            rows = cursor.fetchall() if cursor.description else []
        except Exception as error:  # noqa: BLE001 -- what it says is looked at too
            return [f"{type(error).__name__}: {error}"]
        notices = connection.connection.notices[-5:]
        return [str(row) for row in rows] + [str(notice) for notice in notices]


urlpatterns = [path("run/", run)]
