"""What a provider's token says, and whether to believe it. Values in, values out: no Django, no network, no clock.

A token is believed when it is signed by one of the provider's keys, by an algorithm that needs the provider's secret
half of one, and is from this provider, for this tenant's client, for this very sign-in, and for now.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import jwt

# All asymmetric: by "none" anybody signs, and by HS256 whoever knows the client's secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
SLACK_SECONDS = 60  # by which clocks may differ
OLDEST_SECONDS = 600  # since a token was made
MOST_SUBJECT = 255  # characters, as OpenID Connect has it


class NotBelieved(Exception):
    """A token cannot be believed; `reason` is a word for the log, the sentence says why."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


class UnknownKey(NotBelieved):
    """None of the keys has the name the token gives: the provider may have got new ones since they were read."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a provider says of somebody who has signed in there."""

    issuer: str
    subject: str
    email: str = ""
    is_email_verified: bool = False
    name: str = ""
    methods: tuple[str, ...] = ()  # amr
    level: str = ""  # acr

    def has_second_factor(self, levels: list[str]) -> bool:
        """Return whether more than a password was asked for: "mfa" among the methods, or one of these levels."""
        return "mfa" in self.methods or (self.level != "" and self.level in levels)


def nonce_of(verifier: str) -> str:
    """Return the nonce of a sign-in: it follows from the PKCE verifier, which only the session has.

    >>> nonce_of("abc") == nonce_of("abc"), nonce_of("abc") == nonce_of("abd")
    (True, False)
    """
    digest = hashlib.sha256(b"rowhouse.nonce." + verifier.encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def read_token(
    token: object, *, keys: Mapping[str, Any], issuer: str, client_id: str, nonce: str, now: float
) -> Said:
    """Return what an ID token says. `keys` is the provider's set of keys, `now` in seconds since 1970.

    :raises UnknownKey: it is signed by a key that is not in the set.
    :raises NotBelieved: it is not signed, by another one, for somebody else, for another sign-in, or too old.
    """
    if not isinstance(token, str) or not token:
        raise NotBelieved("no-token", "The provider sent no ID token.")
    claims = _claims(token, keys)
    if claims.get("iss") != issuer:
        raise NotBelieved("other-issuer", "The provider's token is from somebody else than it says itself.")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise NotBelieved("other-audience", "The provider's token is for another program.")
    party = claims.get("azp")
    if (len(audiences) > 1 or party is not None) and party != client_id:
        raise NotBelieved("other-audience", "The provider's token was made for another program.")
    _check_times(claims, now)
    if not nonce or claims.get("nonce") != nonce:
        raise NotBelieved("other-nonce", "The provider's token is of another sign-in.")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MOST_SUBJECT:
        raise NotBelieved("no-subject", "The provider's token does not say who it is about.")
    return _said(issuer, subject, claims)


def with_details(said: Said, details: Mapping[str, Any]) -> Said:
    """Return what was said, with what the provider tells on asking where the token itself names no address.

    :raises NotBelieved: it tells of somebody else.
    """
    if details.get("sub") != said.subject:
        raise NotBelieved("other-subject", "The provider told of another person than its token does.")
    more = _said(said.issuer, said.subject, details)
    return Said(
        said.issuer, said.subject, said.email or more.email,
        said.is_email_verified if said.email else more.is_email_verified,
        said.name or more.name, said.methods, said.level,
    )  # fmt: skip


def usable_keys(keys: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the keys of a set that may sign tokens."""
    listed = keys.get("keys")
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [one for one in found if one.get("kty") in ("RSA", "EC", "OKP") and one.get("use", "sig") == "sig"]


def _claims(token: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise NotBelieved("bad-token", "The provider's token cannot be read.") from None
    algorithm, name = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise NotBelieved(
            "bad-algorithm", "The provider's token is not signed in a way that proves who it is from."
        )
    found = [one for one in usable_keys(keys) if name is None or one.get("kid") == name]
    if not found:
        raise UnknownKey("unknown-key", "The provider's token is signed by a key that it does not publish.")
    for one in found:
        if one.get("alg", algorithm) != algorithm:
            continue
        try:
            options: Any = {"verify_signature": True, "verify_exp": False, "verify_nbf": False,
                            "verify_iat": False, "verify_aud": False, "verify_iss": False}  # fmt: skip
            key = jwt.PyJWK(dict(one), algorithm=algorithm)
            claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm], options=options)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        return claims
    raise NotBelieved("bad-signature", "The provider's token is not signed by one of its keys.")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    ends, made, begins = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
    if not _is_time(ends) or not _is_time(made) or not _is_time(begins):
        raise NotBelieved("no-times", "The provider's token does not say when it was made and when it ends.")
    if ends <= now - SLACK_SECONDS or made < now - OLDEST_SECONDS:
        raise NotBelieved("expired", "The provider's token has ended. Is one of the clocks wrong?")
    if made > now + SLACK_SECONDS or begins > now + SLACK_SECONDS:
        raise NotBelieved("not-yet", "The provider's token is of the future. Is one of the clocks wrong?")


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _said(issuer: str, subject: str, claims: Mapping[str, Any]) -> Said:
    def text(name: str, most: int) -> str:
        value = claims.get(name)
        return " ".join(value.split())[:most] if isinstance(value, str) and value.isprintable() else ""

    email = claims.get("email")
    methods = claims.get("amr")
    return Said(
        issuer=issuer,
        subject=subject,
        email=email if isinstance(email, str) and email.isprintable() and len(email) <= 254 else "",
        # Some providers write it as a text; nothing but these two is a yes.
        is_email_verified=claims.get("email_verified") is True or claims.get("email_verified") == "true",
        name=text("name", 150),
        methods=tuple(one for one in methods if isinstance(one, str)) if isinstance(methods, list) else (),
        level=text("acr", 200),
    )
