"""Where this platform may connect to on a tenant's word: to hosts of the open internet, never into its own network.

A name is judged by every address it stands for, and a connection once more by the address it has reached
(`core.s3http`): between the two a name may have been given another one.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from core.errors import RowhouseError

NAT64 = ipaddress.ip_network("64:ff9b::/96")


class NotAllowedHost(RowhouseError):
    """An address leads into the platform's own network, or nowhere."""

    code = "host-not-allowed"
    status = 422


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the open internet, by all it may be read as.

    >>> [is_public(one) for one in ("93.184.215.14", "10.0.0.7", "::ffff:127.0.0.1", "64:ff9b::a00:7")]
    [True, False, False, False]
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if not found.is_global or found.is_multicast or found.is_reserved:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return True
    # Addresses that carry another one, which a gateway may unpack.
    carried = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
    if found in NAT64:
        carried.append(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
    return all(one.is_global for one in carried if one is not None)


def allowed_address(host: str, port: int, *, private: Collection[str] = ()) -> str:
    """Return an address of a host, if it is one of the open internet, or one of those named in `private`.

    :raises NotAllowedHost: its name stands for no address, or for one that is not public.
    """
    try:
        found = [str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        raise NotAllowedHost(f"There is no host {host!r}. Check the name.") from None
    if not found or (host.lower() not in private and not all(is_public(one) for one in found)):
        raise NotAllowedHost(
            f"{host} is an address of a private network, which this platform does not connect to."
            " Choose a host of the open internet, or ask an operator to allow this one."
        )
    return found[0]


def checked_url(url: str, *, private: Collection[str] = ()) -> str:
    """Return an address without its last slash, when it is one this platform may connect to.

    :raises NotAllowedHost: it is not http(s)://host[:port][/path], leads into a private network, or is not
        encrypted; hosts in `private` may be both.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise NotAllowedHost(f"{url!r} is no address. Write it as https://host.") from None
    is_plain = parts.scheme in {"http", "https"} and bool(host) and url.isprintable() and " " not in url
    if not is_plain or parts.username is not None or parts.query or parts.fragment or "\\" in url:
        raise NotAllowedHost(f"{url!r} is no address of a server. Write it as https://host.")
    if parts.scheme == "http" and host not in private:
        raise NotAllowedHost("What is sent over http:// can be read on its way. Write https://.")
    if host not in private:  # what an operator named may have its name later
        allowed_address(host, port)
    return url.rstrip("/")
