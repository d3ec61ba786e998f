"""Connecting while the database role's password is changed: the role has one at a time, and pods come one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg2
from django.conf import settings


def connect[T](open_one: Callable[[dict[str, Any]], T], parameters: dict[str, Any]) -> T:
    """Open a connection by the given password, or by one of the settings' further ones if that is refused.

    The server says in its own language why it refused, so that any refusal makes us try the others.

    :raises psycopg2.OperationalError: none of them opens one; it is what the first was told.
    """
    try:
        return open_one(parameters)
    except psycopg2.OperationalError as refusal:
        for password in settings.ROWHOUSE_DATABASE_PASSWORD_FALLBACKS:
            try:
                return open_one({**parameters, "password": password})
            except psycopg2.OperationalError:
                continue
        raise refusal


def connect_aside(parameters: dict[str, Any]) -> psycopg2.extensions.connection:
    """Open a connection of one's own beside Django's, with what it told of itself (`get_connection_params`).

    :raises psycopg2.OperationalError: there is none to be had.
    """
    made: psycopg2.extensions.connection = connect(lambda given: psycopg2.connect(**given), parameters)
    return made
