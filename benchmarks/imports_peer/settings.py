"""The peers' project: nothing but what they need."""

from __future__ import annotations

import environ

DATABASES = {"default": environ.Env().db("DATABASE_URL")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "simple_history",
    "import_export",
    "rest_framework",
    "benchmarks.imports_peer",
]
SECRET_KEY = "of a benchmark that serves nothing"
TIME_ZONE = "UTC"
USE_TZ = True
