"""What a provider publishes of itself: its addresses, its keys, and whether sign-in can work with them."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from django.conf import settings
from django.core.cache import cache

from accounts.single_sign_on.tokens import ALGORITHMS, usable_keys
from core.asking import Answer, NoAnswer, ask
from core.errors import RowhouseError
from core.outgoing import NotAllowedHost, checked_url

WELL_KNOWN = "/.well-known/openid-configuration"
KEPT_SECONDS = 600  # what a provider publishes
KEYS_REST_SECONDS = 30  # before its keys are read anew because a token names an unknown one


class ProviderUnusable(RowhouseError):
    """A provider does not publish what a sign-in needs, or does not answer."""

    code = "provider-unusable"
    status = 502


@dataclass(frozen=True, slots=True)
class Published:
    """What a provider publishes, as far as a sign-in needs it."""

    issuer: str
    authorize: str
    token: str
    keys: str
    details: str = ""
    is_basic: bool = True  # the client's secret goes in a header, not in the body
    names_itself: bool = False  # each answer to the browser says who it is from


def private_hosts() -> Collection[str]:
    """Return the hosts that may be of the own network and unencrypted."""
    hosts: list[str] = settings.ROWHOUSE_SIGN_IN_PRIVATE_HOSTS
    return hosts


def plain_issuer(address: str) -> str:
    """Return the address of a provider from what somebody has copied: with or without the discovery path.

    >>> plain_issuer(" https://id.example.com/t/.well-known/openid-configuration ")
    'https://id.example.com/t'
    """
    return address.strip().removesuffix(WELL_KNOWN).rstrip("/")


def check_address(issuer: str) -> None:
    """Let an address pass that a provider may have.

    :raises NotAllowedHost: it is none, not encrypted, or leads into a private network.
    """
    checked_url(issuer, private=private_hosts())


def published(issuer: str, *, fresh: bool = False) -> Published:
    """Return what a provider publishes; for ten minutes what it has published before, unless asked `fresh`.

    :raises ProviderUnusable: it does not answer, or not with what a sign-in needs.
    """
    key = _key("published", issuer)
    kept = None if fresh else cache.get(key)
    if kept is not None:
        return Published(**kept)
    found = read_published(issuer, _object(issuer + WELL_KNOWN, "its discovery document"))
    cache.set(key, asdict(found), KEPT_SECONDS)
    return found


def published_keys(of: Published, *, fresh: bool = False) -> dict[str, Any]:
    """Return a provider's set of keys; `fresh`: read anew, though not twice within half a minute.

    :raises ProviderUnusable: it does not answer, or with no keys.
    """
    key, rest = _key("keys", of.issuer), _key("keys-rest", of.issuer)
    kept: dict[str, Any] | None = cache.get(key)
    if kept is not None and not (fresh and cache.add(rest, True, KEYS_REST_SECONDS)):
        return kept
    found = {"keys": usable_keys(_object(of.keys, "its keys"))}
    if not found["keys"]:
        raise ProviderUnusable("The provider publishes no key that signs tokens.")
    cache.set(key, found, KEPT_SECONDS)
    return found


def forget(issuer: str) -> None:
    """Forget what a provider has published."""
    cache.delete_many([_key(what, issuer) for what in ("published", "keys", "keys-rest")])


def redeem(
    of: Published, *, code: str, verifier: str, address: str, client_id: str, secret: str
) -> dict[str, Any]:
    """Give a code to the provider and return what it gives for it: an ID token and an access token.

    :raises ProviderUnusable: it gives none.
    """
    answer = _redeemed(of, code=code, verifier=verifier, address=address, client_id=client_id, secret=secret)
    if answer.status != 200:
        raise ProviderUnusable(
            f"The provider did not take the code of this sign-in ({_fault(answer)}). Begin again on the sign-in page,"
            " or ask an owner to try the provider."
        )
    try:
        return answer.object()
    except NoAnswer as refused:
        raise ProviderUnusable(refused.message) from None


def details_of(of: Published, access_token: str) -> dict[str, Any]:
    """Return what the provider tells of the person an access token is for; nothing where it tells nothing.

    :raises ProviderUnusable: it does not answer.
    """
    if not of.details or not access_token or not access_token.isascii() or not access_token.isprintable():
        return {}
    headers = {"Authorization": f"Bearer {access_token}"}
    return _object(of.details, "what it knows of a person", headers)


def read_published(issuer: str, document: dict[str, Any]) -> Published:
    """Return what a discovery document says.

    :raises ProviderUnusable: it is of another provider, or lacks what a sign-in needs.
    """
    said = document.get("issuer")
    if not isinstance(said, str) or said.rstrip("/") != issuer.rstrip("/"):
        raise ProviderUnusable(
            f"The provider calls itself {str(said)[:200]!r}. Enter this as its address if it is the one you mean."
        )
    places = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        places[name] = _place(document.get(name), name)
    details = document.get("userinfo_endpoint")
    if "code" not in _words(document, "response_types_supported", ["code"]):
        raise ProviderUnusable("The provider does not offer the authorization code flow.")
    if not set(_words(document, "id_token_signing_alg_values_supported", ["RS256"])) & set(ALGORITHMS):
        raise ProviderUnusable(
            "The provider signs its tokens in no way that proves who they are from. Let it use RS256 or ES256."
        )
    if "S256" not in _words(document, "code_challenge_methods_supported", ["S256"]):
        raise ProviderUnusable("The provider does not know PKCE with S256. Let it allow that.")
    ways = _words(document, "token_endpoint_auth_methods_supported", ["client_secret_basic"])
    if not {"client_secret_basic", "client_secret_post"} & set(ways):
        raise ProviderUnusable("The provider wants another proof than a client secret. Let it take one.")
    return Published(
        issuer=said,
        authorize=places["authorization_endpoint"],
        token=places["token_endpoint"],
        keys=places["jwks_uri"],
        details=_place(details, "userinfo_endpoint") if details else "",
        is_basic="client_secret_basic" in ways,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def find_faults(issuer: str, *, client_id: str, secret: str, address: str) -> list[str]:
    """Try a provider as far as can be without a person; return a sentence for each thing that is wrong.

    A code that was never given is redeemed: a provider that knows the client says the code is wrong.
    """
    forget(issuer)
    try:
        of = published(issuer, fresh=True)
        published_keys(of)
        answer = _redeemed(
            of, code="a-code-that-was-never-given", verifier="v" * 43, address=address, client_id=client_id,
            secret=secret,
        )  # fmt: skip
    except RowhouseError as refused:
        return [refused.message]
    fault = _fault(answer)
    if fault in ("invalid_client", "unauthorized_client") or answer.status == 401:
        return [f"The provider does not know this client id with this secret ({fault})."]
    return []


def _redeemed(
    of: Published, *, code: str, verifier: str, address: str, client_id: str, secret: str
) -> Answer:
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": address,
        "code_verifier": verifier,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if of.is_basic:
        pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"  # RFC 6749, 2.3.1
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        fields |= {"client_id": client_id, "client_secret": secret}
    try:
        return ask(of.token, body=urlencode(fields).encode(), headers=headers, private=private_hosts())
    except RowhouseError as refused:
        raise ProviderUnusable(f"The provider could not be asked about a code: {refused.message}") from None


def _object(url: str, what: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    try:
        answer = ask(url, headers=headers, private=private_hosts())
        if answer.status != 200:
            raise ProviderUnusable(f"{answer.host} answered {answer.status} when it was asked for {what}.")
        return answer.object()
    except (NoAnswer, NotAllowedHost) as refused:
        raise ProviderUnusable(f"The provider could not be asked for {what}: {refused.message}") from None


def _place(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ProviderUnusable(f"The provider's discovery document has no {name}.")
    if not _is_place(value):
        raise ProviderUnusable(f"The provider's {name} is no address that begins with https://.")
    return value


def _is_place(value: str) -> bool:
    try:
        parts = urlsplit(value)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    is_plain = value.isascii() and value.isprintable() and not set(value) & set(" \"'<>\\")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in private_hosts())
    return bool(host) and is_plain and is_safe and parts.username is None and not parts.fragment


def _words(document: dict[str, Any], name: str, otherwise: list[str]) -> list[str]:
    value = document.get(name)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else otherwise


def _fault(answer: Answer) -> str:
    """Return what a token endpoint calls its refusal, if it is one of the plain words of the standard."""
    try:
        said = answer.object().get("error")
    except NoAnswer:
        said = None
    is_word = isinstance(said, str) and len(said) <= 60 and said.replace("_", "").isalnum() and said.isascii()
    return str(said) if is_word else f"it answered {answer.status}"


def _key(what: str, issuer: str) -> str:
    # The cache's own keys begin with the tenant's schema.
    return f"single-sign-on.{what}.{hashlib.sha256(issuer.rstrip('/').encode()).hexdigest()}"
