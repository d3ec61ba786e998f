"""A production installation that is not safe does not start, and says why."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from core.checks import require_safe

PRODUCTION = {
    "ROWHOUSE_PRODUCTION": "true",
    "ROWHOUSE_SECRET_KEY": "0123456789" * 6,
    "DATABASE_URL": "postgresql://nobody:kJ2xpq8@127.0.0.1:9/nothing",
    "ROWHOUSE_PUBLIC_HOSTS": "ops.rows.example",
    "ROWHOUSE_BASE_DOMAIN": "rows.example",
}


def said() -> list[str]:
    found = checks.run_checks(tags=[checks.Tags.security])
    return [str(one.id) for one in found if str(one.id).startswith("rowhouse.")]


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("SECURE_CSP", {}, "rowhouse.E007"),
        ("SECURE_CSP", {"default-src": ["'self'", "'unsafe-inline'"]}, "rowhouse.E008"),
        ("ROWHOUSE_ADMIN_CSP", {"default-src": ["'none'"], "script-src": ["'unsafe-eval'"]}, "rowhouse.E008"),
        ("MESSAGE_STORAGE", "django.contrib.messages.storage.fallback.FallbackStorage", "rowhouse.E010"),
    ],
    ids=["no policy", "inline", "eval", "messages in a cookie"],
)
def test_settings_that_let_a_page_do_more_than_it_must_are_refused(
    settings: Any, name: str, value: Any, found: str
) -> None:
    assert said() == []
    setattr(settings, name, value)
    assert said() == [found]


@pytest.mark.parametrize("name", ["core.headers.Headers", "core.headers.PagePolicy", "core.paces.Paces"])
def test_a_middleware_that_was_left_out_is_missed(settings: Any, name: str) -> None:
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one != name]
    assert said() == ["rowhouse.E009"]


@pytest.mark.case("A18")
def test_a_star_is_no_host_in_production(settings: Any) -> None:
    settings.IS_PRODUCTION = True
    settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE = "__Host-session", True
    settings.ROWHOUSE_PUBLIC_HOSTS = ["ops.example"]
    assert said() == []
    settings.ROWHOUSE_PUBLIC_HOSTS = ["*"]
    assert said() == ["rowhouse.E011"]


def test_what_django_itself_warns_of_ends_a_start_in_production_alone(settings: Any) -> None:
    settings.SECURE_HSTS_SECONDS = 0
    require_safe()
    settings.IS_PRODUCTION = True
    with pytest.raises(ImproperlyConfigured, match=r"not safe to start.*security\.W004"):
        require_safe()


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **PRODUCTION, **variables}
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)


@pytest.mark.case("A18")
@pytest.mark.parametrize(
    "words",
    [("-m", "rowhouse", "worker"), ("-m", "rowhouse", "list_tenants"), ("-c", "import rowhouse.wsgi")],
    ids=["worker", "command", "web"],
)
def test_nothing_starts_that_is_not_safe(words: tuple[str, ...]) -> None:
    done = run(*words, ROWHOUSE_PUBLIC_HOSTS="*", DJANGO_SETTINGS_MODULE="rowhouse.settings")
    assert done.returncode != 0
    assert "rowhouse.E011" in done.stderr


@pytest.mark.case("A18")
def test_the_checks_of_a_deployment_find_nothing_in_the_settings_of_production() -> None:
    done = run("-m", "rowhouse", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr


@pytest.mark.case("A18")
@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"ROWHOUSE_SECRET_KEY": "change-me-" * 6}, "ROWHOUSE_SECRET_KEY"),
        ({"ROWHOUSE_SECRET_KEY_FALLBACKS": "development-only-key-that-production-refuses-to-start-with"},
         "ROWHOUSE_SECRET_KEY_FALLBACKS"),
        ({"ROWHOUSE_SEALING_KEYS": "replace-me-with-32-or-more-characters"}, "ROWHOUSE_SEALING_KEYS"),
        ({"ROWHOUSE_BACKUP_KEYS": "0123456789" * 6}, "ROWHOUSE_BACKUP_KEYS"),
        ({"ROWHOUSE_BACKUP_KEYS": "ab" * 20}, "ROWHOUSE_BACKUP_KEYS"),
        ({"DATABASE_URL": "postgresql://rowhouse:postgres@127.0.0.1:9/nothing"}, "DATABASE_URL"),
    ],
    ids=["placeholder", "former key of development", "placeholder that seals", "reused", "repeated", "password"],
)  # fmt: skip
def test_production_refuses_secrets_that_are_none(variables: dict[str, str], named: str) -> None:
    done = run("-m", "rowhouse", "check", **variables)
    assert done.returncode != 0
    assert named in done.stderr
    assert all(value not in done.stderr for value in variables.values())
