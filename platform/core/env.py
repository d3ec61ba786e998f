"""Settings from the environment: typed, with defaults, registered for the reference, failing by name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable we read: what the reference in docs/ lists."""

    name: str
    default: str
    purpose: str


REGISTRY: dict[str, Variable] = {}


def _read(name: str, default: str, purpose: str) -> str:
    REGISTRY[name] = Variable(name, default, purpose)
    file = os.environ.get(f"{name}_FILE")
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE: {file!r} cannot be read ({error.strerror}).") from error
    return os.environ.get(name, default)


def text(name: str, default: str = "", *, purpose: str) -> str:
    """Return the variable's text; `<NAME>_FILE` names a file to read it from instead (for secrets)."""
    return _read(name, default, purpose)


def boolean(name: str, default: bool, *, purpose: str) -> bool:
    """Return the variable as a yes or no.

    :raises ImproperlyConfigured: it is neither.
    """
    raw = _read(name, "true" if default else "false", purpose).strip().lower()
    if raw in _TRUE:
        return True
    if raw in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name}: {raw!r} is not a yes or no; write true or false.")


def integer(name: str, default: int, *, purpose: str, minimum: int = 0) -> int:
    """Return the variable as a whole number of at least `minimum`.

    :raises ImproperlyConfigured: it is not one.
    """
    raw = _read(name, str(default), purpose).strip()
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name}: {raw!r} is not a whole number.") from None
    if value < minimum:
        raise ImproperlyConfigured(f"{name}: {value} is less than {minimum}.")
    return value


def choice(name: str, default: str, *, purpose: str, choices: tuple[str, ...]) -> str:
    """Return one of `choices`.

    :raises ImproperlyConfigured: it is none of them.
    """
    found = _read(name, default, purpose)
    if found not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {found!r}.")
    return found


def words(name: str, default: str = "", *, purpose: str) -> list[str]:
    """Return the variable's comma-separated words, blanks dropped."""
    return [word.strip() for word in _read(name, default, purpose).split(",") if word.strip()]
