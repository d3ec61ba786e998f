"""Which settings the code knows, and by which value of the chart each of them is set."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

from tests.source import calls, modules, string_arguments, tree

# Kept in Secrets, whose keys `secrets.keys` names; one the code does not know is left out …
NAMED_SECRETS = (
    "ROWHOUSE_SECRET_KEY",
    "ROWHOUSE_SECRET_KEY_FALLBACKS",
    "ROWHOUSE_SEALING_KEYS",
    "ROWHOUSE_AUDIT_KEYS",
    "ROWHOUSE_BACKUP_KEYS",
    "ROWHOUSE_DATABASE_PASSWORD_FALLBACKS",
    "ROWHOUSE_EMAIL_USER",
    "ROWHOUSE_EMAIL_PASSWORD",
    "ROWHOUSE_SENTRY_DSN",
)
# … or which other programs make: the database's, the bucket's.
FOREIGN_SECRETS = ("DATABASE_URL", "ROWHOUSE_S3_ACCESS_KEY", "ROWHOUSE_S3_SECRET_KEY")
# Each is set in one way alone; what the chart sets cannot be set by `config` too.
BY_THE_CHART = {
    "ROWHOUSE_PRODUCTION": "always true",
    "ROWHOUSE_DEBUG": "never: production refuses it",
    "ROWHOUSE_DATA": "the pod's volume",
    "ROWHOUSE_RUN_DIR": "below the pod's volume",
    "ROWHOUSE_STATIC_ROOT": "the image's own",
    "ROWHOUSE_BASE_DOMAIN": "hosts.baseDomain",
    "ROWHOUSE_PUBLIC_HOSTS": "hosts.public",
    "ROWHOUSE_S3_BUCKET": "storage.s3.bucket",
    "ROWHOUSE_S3_ENDPOINT": "storage.s3.endpoint",
    "ROWHOUSE_S3_REGION": "storage.s3.region",
    "ROWHOUSE_S3_ADDRESSING": "storage.s3.addressing",
    "ROWHOUSE_S3_CHECKSUMS": "storage.s3.checksums",
    "ROWHOUSE_S3_LINK_ENDPOINT": "storage.s3.linkEndpoint",
    "ROWHOUSE_WEB_BIND": "web.port",
    "ROWHOUSE_METRICS_PORT": "metrics.port and metrics.enabled",
}
KINDS = ("text", "boolean", "integer", "words", "choice")


@cache
def _calls() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return of each setting the code reads its kind, and how the call describes it."""
    found = {
        string_arguments(call)[0]: (name.removeprefix("env."), _words(call))
        for path in modules()
        for name, call in calls(tree(path))
        if name.startswith("env.") and name.removeprefix("env.") in KINDS
    }
    return dict(sorted(found.items()))


def known() -> dict[str, dict[str, Any]]:
    """Return each setting the code reads, with the JSON Schema of what it may be."""
    return {name: _schema(kind, words) for name, (kind, words) in _calls().items()}


def called_secret() -> set[str]:
    """Return the settings that the code itself says are secret."""
    return {name for name, (_, words) in _calls().items() if words.get("secret")}


def secrets() -> list[str]:
    """Return the settings that stand in `secrets.keys`."""
    return [name for name in NAMED_SECRETS if name in known()]


def by_config() -> dict[str, dict[str, Any]]:
    """Return the settings that stand in the chart's `config`: all that are no secret and nothing of the chart's."""
    others = {*NAMED_SECRETS, *FOREIGN_SECRETS, *BY_THE_CHART}
    return {name: schema for name, schema in known().items() if name not in others}


def _words(call: ast.Call) -> dict[str, Any]:
    """Return a call's keyword arguments that are plain values."""
    return {
        word.arg: ast.literal_eval(word.value)
        for word in call.keywords
        if word.arg and isinstance(word.value, ast.Constant | ast.Tuple)
    }


def _schema(kind: str, words: dict[str, Any]) -> dict[str, Any]:
    purpose = {"description": str(words.get("purpose", ""))}
    if kind == "integer":
        return {"type": "integer", "minimum": int(words.get("minimum", 0)), **purpose}
    if kind == "boolean":
        return {"type": "boolean", **purpose}
    if kind == "choice":
        return {"enum": list(words["choices"]), **purpose}
    return {"type": "string", **purpose}
