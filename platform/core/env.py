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
    """One environment variable we read: what the reference in docs/ lists.

    `default` is what people read, in words where it is no fixed value, and empty where there is none.
    """

    name: str
    default: str
    purpose: str
    section: str
    is_secret: bool


REGISTRY: dict[str, Variable] = {}
_section = ""


def section(title: str) -> None:
    """Begin a section of the reference: the variables that are read from here on stand below this title."""
    global _section
    _section = title


def _read(name: str, default: str, purpose: str, shown: str | None, is_secret: bool = False) -> str:
    """Register a variable and return its text, or its default.

    :raises ImproperlyConfigured: `<NAME>_FILE` names a file that is not there or holds no text, or both are set.
    """
    REGISTRY[name] = Variable(name, default if shown is None else shown, purpose, _section, is_secret)
    file = os.environ.get(f"{name}_FILE")
    if not file:
        return os.environ.get(name, default)
    if os.environ.get(name):
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set. Keep one of them.")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: {file!r} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{name}_FILE: {file!r} holds no UTF-8 text.") from None


def text(
    name: str, default: str = "", *, purpose: str, shown: str | None = None, secret: bool = False
) -> str:
    """Return the variable's text; `<NAME>_FILE` names a file to read it from instead (for secrets).

    :param shown: the default as the reference says it, where that differs from place to place.
    :param secret: nobody should read it in a list of variables; the reference says so.
    :raises ImproperlyConfigured: its file cannot be read, or both are set. So do all the others here.
    """
    return _read(name, default, purpose, shown, secret)


def boolean(name: str, default: bool, *, purpose: str, shown: str | None = None) -> bool:
    """Return the variable as a yes or no.

    :raises ImproperlyConfigured: it is neither.
    """
    raw = _read(name, "true" if default else "false", purpose, shown).strip().lower()
    if raw in _TRUE:
        return True
    if raw in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name}: {raw!r} is not a yes or no; write true or false.")


def integer(name: str, default: int, *, purpose: str, minimum: int = 0) -> int:
    """Return the variable as a whole number of at least `minimum`.

    :raises ImproperlyConfigured: it is not one.
    """
    raw = _read(name, str(default), purpose, None).strip()
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
    found = _read(name, default, purpose, None)
    if found not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {found!r}.")
    return found


def words(
    name: str, default: str = "", *, purpose: str, shown: str | None = None, secret: bool = False
) -> list[str]:
    """Return the variable's words, separated by commas or, as in a file, by lines; blanks are dropped."""
    found = _read(name, default, purpose, shown, secret).replace("\n", ",")
    return [word.strip() for word in found.split(",") if word.strip()]


# What stands in examples and templates until somebody puts a secret there.
_PLACEHOLDERS = (
    "changeme",
    "changethis",
    "replaceme",
    "yoursecret",
    "djangoinsecure",
    "developmentonly",
    "examplekey",
    "correcthorse",
)
_DEFAULT_PASSWORDS = frozenset({
    "postgres", "password", "passwort", "rowhouse", "admin", "root", "secret", "changeme", "example", "test", "demo",
    "123456", "12345678", "qwerty",
})  # fmt: skip


def is_guessable(secret: str) -> bool:
    """Return whether a secret is a placeholder, or repeats itself so much that it holds next to nothing.

    >>> is_guessable("change-me-" * 6), is_guessable("ab" * 30), is_guessable("5f2c9a7be0d14c68" * 3)
    (True, True, False)
    """
    plain = "".join(letter for letter in secret.lower() if letter.isalnum())
    return len(set(secret)) < 5 or any(word in plain for word in _PLACEHOLDERS)


def is_default_password(password: str) -> bool:
    """Return whether a password is one of those that are tried first.

    >>> is_default_password("Postgres"), is_default_password("kJ2-xpq8")
    (True, False)
    """
    return password.lower() in _DEFAULT_PASSWORDS
