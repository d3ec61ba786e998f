"""Names and neighbours: what browsers must find, and the mail server."""

from __future__ import annotations

import secrets
import smtplib
import socket
from collections.abc import Iterator
from contextlib import suppress

from django.conf import settings
from django.core.mail import mailers

from core import dns
from core.errors import RowhouseError
from rowhouse.doctor.findings import Finding, failure, warning, well

LOCAL = "localhost"


def names() -> Iterator[Finding]:
    """Look the operators' hosts up, and a tenant's that nobody has made, which the wildcard answers for."""
    base = settings.ROWHOUSE_BASE_DOMAIN
    yield _found(
        "DNS of tenants",
        f"{secrets.token_hex(6)}.{base}",
        f"Add a record *.{base} that leads to the proxy.",
    )
    for host in settings.ROWHOUSE_PUBLIC_HOSTS:
        yield _found("DNS of operators", host, f"Add a record {host} that leads to the proxy.")


def _found(check: str, name: str, advice: str) -> Finding:
    if name == LOCAL or name.endswith(f".{LOCAL}"):
        return well(check, f"{name} is this machine, as browsers know.")
    try:
        addresses = addresses_of(name)
    except (OSError, RowhouseError) as error:
        return failure(check, f"{name} could not be looked up: {error}", "Check the resolver.")
    if not addresses:
        return failure(check, f"{name} leads nowhere.", advice)
    return well(check, f"{name} leads to {', '.join(addresses)}.")


def addresses_of(name: str) -> list[str]:
    """Return the addresses of a name: of the resolvers that settings name, else as this machine looks names up.

    :raises NoAnswer: no resolver that settings name answers.
    :raises OSError: this machine's do not.
    """
    if settings.ROWHOUSE_DNS_RESOLVERS:
        return dns.addresses_of(name)
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return []
        raise
    return sorted({str(place[0]) for *_, place in found})


def mail() -> Iterator[Finding]:
    """Sign in at the mail server, and send nothing."""
    if not settings.MAILERS:
        yield warning(
            "mail",
            "There is no mail server: invitations are shown to operators, notices reach nobody.",
            "Set ROWHOUSE_EMAIL_HOST.",
        )
        return
    mailer = mailers["default"]
    where = getattr(mailer, "host", "")
    if not where:
        yield well("mail", "It is printed, as development does.")
        return
    try:
        mailer.open()
    except (OSError, smtplib.SMTPException) as error:
        yield failure(
            "mail",
            f"{where} does not take us: {' '.join(str(error).split())}",
            "Check ROWHOUSE_EMAIL_HOST, _PORT, _SECURITY, _USER and _PASSWORD.",
        )
    else:
        yield well("mail", f"{where} lets us in.")
    finally:
        with suppress(OSError, smtplib.SMTPException):  # it may be gone already
            mailer.close()
