"""What a session is worth: a key nobody guesses, known to the server alone; and passwords that are costly to try."""

from __future__ import annotations

import math
import os
import secrets
import string
import subprocess
import sys

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client

from core.tenancy import TenantRef, in_tenant

SIGNS = set(string.ascii_lowercase + string.digits)
LEAST_BITS = 128
LEAST_ITERATIONS = 600_000  # of PBKDF2 with SHA-256, as OWASP has it


def test_a_session_key_cannot_be_guessed_and_comes_once(acme: TenantRef, globex: TenantRef) -> None:
    keys = []
    with in_tenant(acme):
        for _ in range(500):
            session = SessionStore()
            session.create()
            keys.append(str(session.session_key))

    assert len(set(keys)) == len(keys)
    assert set("".join(keys)) == SIGNS
    assert min(map(len, keys)) * math.log2(len(SIGNS)) >= LEAST_BITS
    with in_tenant(acme):  # on the server, in its schema
        assert Session.objects.filter(session_key__in=keys).count() == len(keys)
    with in_tenant(globex):
        assert not Session.objects.filter(session_key__in=keys).exists()


def test_a_session_key_of_the_browsers_own_choice_is_not_taken(acme: TenantRef) -> None:
    chosen = "a" * 32
    client = Client(HTTP_HOST="acme.localhost")
    client.cookies[settings.SESSION_COOKIE_NAME] = chosen
    client.get("/admin/login/")
    client.post("/admin/login/", {"username": "owner@acme.example", "password": "wrong"})

    with in_tenant(acme):
        assert not Session.objects.filter(session_key=chosen).exists()


def test_production_hashes_passwords_by_a_function_made_for_it() -> None:
    code = (
        "import django; django.setup(); from django.contrib.auth.hashers import get_hasher, make_password;"
        "h = get_hasher(); print(h.algorithm, getattr(h, 'iterations', 0), make_password('x' * 200)[:200])"
    )
    variables = {
        "ROWHOUSE_PRODUCTION": "true",
        "ROWHOUSE_SECRET_KEY": secrets.token_hex(32),
        "DATABASE_URL": f"postgresql://rowhouse:{secrets.token_hex(16)}@nowhere/x",
        "DJANGO_SETTINGS_MODULE": "rowhouse.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    algorithm, iterations, stored = done.stdout.split()
    assert algorithm in {"argon2", "scrypt", "pbkdf2_sha256"}, done.stderr
    assert algorithm != "pbkdf2_sha256" or int(iterations) >= LEAST_ITERATIONS
    assert stored.startswith(f"{algorithm}$")
