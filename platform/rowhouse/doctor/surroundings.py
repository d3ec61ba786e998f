"""The process's own surroundings: its settings, its secrets, and the folders it writes to."""

from __future__ import annotations

import difflib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import django
from django.conf import settings
from django.core.checks import ERROR, run_checks

from core import env
from core.disk import free_mb
from rowhouse import gunicorn
from rowhouse.doctor.findings import Finding, failure, warning, well

# Read by scripts and tests of ours, and by nothing that serves.
ELSEWHERE = frozenset({"ROWHOUSE_PYTHON", "ROWHOUSE_BROWSER", "ROWHOUSE_PGBOUNCER", "ROWHOUSE_SCREENSHOTS"})
# Kubernetes puts the addresses of services into every container; ours may be called rowhouse-web.
OF_SERVICES = re.compile(r"_(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_(TCP|UDP)\w*)")
KEY_LENGTH, SEALING_LENGTH, KEY_VARIETY = 50, 32, 5
LITTLE_MB, NEARLY_NOTHING_MB = 1024, 64
MANIFEST = "staticfiles.json"


def versions() -> Iterator[Finding]:
    """Say what runs here."""
    python = ".".join(map(str, sys.version_info[:3]))
    release = metadata.version("rowhouse")
    yield well("versions", f"Rowhouse {release}, Python {python}, Django {django.get_version()}.")


def place(environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Look at the settings as a whole, and for variables that nobody reads."""
    if settings.IS_PRODUCTION:
        yield well("production", "Weak secrets and plain HTTP are refused.")
    else:
        yield warning(
            "production",
            "This is a place for development: weak secrets and plain HTTP are let through.",
            "Set ROWHOUSE_PRODUCTION=true wherever data matters.",
        )
    unread = unread_variables(environ)
    for name in unread:
        near = difflib.get_close_matches(name, env.REGISTRY, 1, 0.85)
        meant = f"{near[0]} may be meant." if near else "Look for its name in docs/reference/settings.md."
        yield warning("settings", f"{name} is set, and nothing reads it here.", meant)
    if not unread:
        yield well("settings", "Every ROWHOUSE_ variable is one that is read.")
    yield from django_checks()


def unread_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the names of ours that nothing has read; gunicorn's settings count as read."""
    assert gunicorn.workers  # its import has read them
    known = env.REGISTRY.keys() | ELSEWHERE
    return sorted(
        name
        for name in environ
        if name.startswith("ROWHOUSE_")
        and name not in known
        and name.removesuffix("_FILE") not in known
        and not OF_SERVICES.search(name)
    )


def django_checks() -> Iterator[Finding]:
    """Run the checks of Django and our own, in production those for a deployment too."""
    found = [
        one for one in run_checks(include_deployment_checks=settings.IS_PRODUCTION) if not one.is_silenced()
    ]
    for one in found:
        make = failure if one.level >= ERROR else warning
        yield make(f"check {one.id}", " ".join(one.msg.split()), " ".join((one.hint or "").split()))
    if not found:
        yield well("checks", "Django's checks and our own find nothing.")


def secrets() -> Iterator[Finding]:
    """Judge the keys by what they are, and never show one."""
    yield _secret_key()
    sealing, backup = settings.ROWHOUSE_SEALING_KEYS, settings.ROWHOUSE_BACKUP_KEYS
    audit = settings.ROWHOUSE_AUDIT_KEYS
    if sealing == [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]:
        yield warning(
            "sealing keys",
            "There are none, so stored secrets are sealed with the secret key and would be lost with it.",
            "Set ROWHOUSE_SEALING_KEYS to 32 or more random characters, then the secret key, and reseal.",
        )
    else:
        yield _of_length("sealing keys", "ROWHOUSE_SEALING_KEYS", sealing)
    if audit == sealing:
        yield warning(
            "audit keys",
            "There are none, so the log of events is signed with the sealing keys.",
            "Set ROWHOUSE_AUDIT_KEYS to 32 or more random characters, then the sealing keys.",
        )
    else:
        yield _of_length("audit keys", "ROWHOUSE_AUDIT_KEYS", audit)
    if backup:
        yield _of_length("backup keys", "ROWHOUSE_BACKUP_KEYS", backup)
    else:
        yield warning(
            "backup keys",
            "There are none, so backups of tenants are not encrypted.",
            "Set ROWHOUSE_BACKUP_KEYS to 32 or more random characters, and keep them elsewhere too.",
        )
    if settings.SECRET_KEY in backup or set(sealing) & set(backup):
        yield warning(
            "backup keys",
            "One key serves for two purposes: who is told it for one can do the other.",
            "Give backups a key of their own in front of the others.",
        )


def _secret_key() -> Finding:
    key = settings.SECRET_KEY
    advice = "Set ROWHOUSE_SECRET_KEY to 50 or more random characters."
    if key == settings.DEVELOPMENT_KEY:
        return warning("secret key", "It is the one of development, which everybody knows.", advice)
    if len(key) < KEY_LENGTH or len(set(key)) < KEY_VARIETY:
        return warning("secret key", "It is short, or hardly random.", advice)
    former = len(settings.SECRET_KEY_FALLBACKS)
    return well("secret key", "It is long" + (f"; {former} former still accepted." if former else "."))


def _of_length(check: str, variable: str, keys: list[str]) -> Finding:
    if min(map(len, keys)) < SEALING_LENGTH:
        return warning(check, "One is short.", f"Each of {variable} is to be 32 or more random characters.")
    return well(check, f"{len(keys)} set.")


def folders() -> Iterator[Finding]:
    """Write into the folders that are to be written to, and look for the static files."""
    for name in ("ROWHOUSE_DATA", "ROWHOUSE_RUN_DIR"):
        yield _writable(name, Path(getattr(settings, name)).resolve())
    yield _temporary()
    root = settings.STATIC_ROOT
    if not root:
        yield well("static files", "They come from the apps' folders.")
    elif (Path(root) / MANIFEST).is_file():
        yield well("static files", f"They are collected in {root}.")
    else:
        yield failure(
            "static files",
            f"{root} holds no {MANIFEST}, so every page fails.",
            "Run `rowhouse collectstatic --no-input` with the same ROWHOUSE_STATIC_ROOT.",
        )


def _writable(name: str, folder: Path) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"doctor")
            file.flush()
        free = free_mb(folder)
    except OSError as error:
        return failure(
            name,
            f"{folder} cannot be written to ({error.strerror}).",
            f"Give user {os.getuid()} the right to, or set {name} to a folder where it has.",
        )
    return _room(name, folder, free)


def _room(name: str, folder: Path, free: int) -> Finding:
    advice = "Make room: uploads are kept there while they are read."
    if free < NEARLY_NOTHING_MB:
        return failure(name, f"{folder} has {free} MB left.", advice)
    if free < LITTLE_MB:
        return warning(name, f"{folder} has {free} MB left.", advice)
    return well(name, f"{folder} can be written to, {free} MB free.")


def _temporary() -> Finding:
    try:
        folder = Path(tempfile.gettempdir())
    except OSError:
        return failure(
            "temporary files",
            "No folder for them can be written to.",
            "Mount one at /tmp, or set TMPDIR: uploads above 2.5 MB need it.",
        )
    return _room("temporary files", folder, free_mb(folder))
