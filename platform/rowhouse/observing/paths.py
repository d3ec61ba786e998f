"""Where the probes are; without any Django, because gunicorn needs it before there are apps."""

from __future__ import annotations

HEALTH = "/healthz"
READY = "/readyz"
PROBES = (HEALTH, READY)
