"""A small OpenID Connect provider that really answers: discovery, a page to sign in, tokens, details, keys.

It can be told to do one thing wrong: `provider.wrong = "nonce"`. What it was asked stands in `provider.asked`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT_ID = "rowhouse-of-acme"
SECRET = "the secret + of the client / at its provider"


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


_KEY, _OTHER_KEY = _new_key(), _new_key()


class Provider:
    """One provider; its client is `client_id` with `secret`, and sends people back to one of `redirects`, if any."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.client_id, self.secret = CLIENT_ID, SECRET
        self.redirects: list[str] = []
        self.wrong = ""
        self.more: dict[str, Any] = {}  # claims of the token besides, or in the place of its own
        self.subjects: dict[str, str] = {}  # of each address, where it is not a digest of it
        self.unverified: set[str] = set()
        self.key, self.kid = _KEY, "first"
        self.ways = ["client_secret_basic", "client_secret_post"]
        self.names_itself = False
        self.in_token = True  # whether the token has the address, or details alone
        self.codes: dict[str, dict[str, str]] = {}
        self.access: dict[str, str] = {}
        self.asked: list[str] = []

    # ---- what it publishes

    def discovery(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": self.ways,
        }
        if self.names_itself:
            said["authorization_response_iss_parameter_supported"] = True
        if self.wrong.startswith("discovery:"):
            name, _, value = self.wrong.removeprefix("discovery:").partition("=")
            said[name] = json.loads(value)
        return said

    def keys(self) -> dict[str, Any]:
        public = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    # ---- what it says of people

    def subject(self, email: str) -> str:
        return self.subjects.get(email) or hashlib.sha256(email.encode()).hexdigest()[:12]

    def person(self, email: str) -> dict[str, Any]:
        return {
            "sub": self.subject(email),
            "email": email,
            "email_verified": email not in self.unverified,
            "name": email.partition("@")[0].replace(".", " ").title(),
        }

    def code_for(self, email: str, asked: dict[str, str]) -> str:
        code = secrets.token_urlsafe(16)
        self.codes[code] = {**asked, "email": email}
        return code

    def token(self, email: str, nonce: str) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": nonce}
        person = self.person(email)
        claims |= person if self.in_token else {"sub": person["sub"]}
        wrong: dict[str, dict[str, Any]] = {
            "nonce": {"nonce": "of another sign-in"},
            "no nonce": {"nonce": None},
            "issuer": {"iss": "https://elsewhere.example"},
            "audience": {"aud": "another-program"},
            "two audiences": {"aud": [self.client_id, "another-program"]},
            "expired": {"iat": now - 3600, "exp": now - 3000},
            "old": {"iat": now - 3600},
            "future": {"iat": now + 3600, "exp": now + 7200},
            "no end": {"exp": None},
            "no subject": {"sub": None},
        }
        claims |= wrong.get(self.wrong, {})
        claims |= self.more
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.wrong == "unsigned":
            return jwt.encode(claims, "", algorithm="none")
        if self.wrong == "signed by the secret":
            return _by_secret(claims, self.secret.encode())
        if self.wrong == "signed by the public key":
            public = RSAAlgorithm.to_jwk(self.key.public_key())
            return _by_secret(claims, public.encode())
        key = _OTHER_KEY if self.wrong == "other key" else self.key
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": self.kid})

    # ---- a browser's way through it, for tests without one

    def sign_in(self, address: str, email: str) -> str:
        """Go to an address of the sign-in page, sign in as somebody, and return where it leads back to."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}" == self.issuer
        connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=20)
        body = urlencode({**_single(parts.query), "email": email})
        connection.request("POST", parts.path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        said = answer.read().decode()
        assert answer.status == 302, said
        return answer.headers["Location"]


def _by_secret(claims: dict[str, Any], secret: bytes) -> str:
    """Sign as nobody should: PyJWT itself refuses to use a public key so."""

    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    head = part({"alg": "HS256", "typ": "JWT", "kid": "first"}) + b"." + part(claims)
    proof = base64.urlsafe_b64encode(hmac.new(secret, head, hashlib.sha256).digest()).rstrip(b"=")
    return (head + b"." + proof).decode()


def _single(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        provider, path = self.provider, urlsplit(self.path).path
        provider.asked.append(f"GET {path}")
        if path == "/.well-known/openid-configuration":
            if provider.wrong == "no discovery":
                self._say(404, {})
            elif provider.wrong == "moved":
                self._redirect("http://169.254.169.254/latest/meta-data")
            elif provider.wrong == "endless":
                self._say(200, {**provider.discovery(), "more": "x" * 1_000_000})
            elif provider.wrong == "no json":
                self._answer(200, "text/html", "<html>Sign in, please</html>")
            else:
                self._say(200, provider.discovery())
        elif path == "/keys":
            self._say(200, {"keys": []} if provider.wrong == "no keys" else provider.keys())
        elif path == "/userinfo":
            self._userinfo()
        elif path == "/authorize":
            self._authorize_page(_single(urlsplit(self.path).query))
        else:
            self._say(404, {})

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        self.provider.asked.append(f"POST {path}")
        fields = _single(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        if path == "/authorize":
            self._authorize(fields)
        elif path == "/token":
            self._token(fields)
        else:
            self._say(404, {})

    def _authorize_page(self, asked: dict[str, str]) -> None:
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in asked.items()
        )
        self._answer(
            200, "text/html",
            "<!doctype html><html lang='en'><title>Sign in at the provider</title><h1>The organisation</h1>"
            f"<form method='post' action='/authorize'>{hidden}<label>Address <input name='email'></label>"
            "<button name='go' value='yes'>Sign in</button><button name='go' value='no'>Cancel</button></form></html>",
        )  # fmt: skip

    def _authorize(self, asked: dict[str, str]) -> None:
        provider = self.provider
        back = asked.get("redirect_uri", "")
        fault = (
            "unknown client" if asked.get("client_id") != provider.client_id
            else "unknown redirect" if provider.redirects and back not in provider.redirects
            else "no code flow" if asked.get("response_type") != "code"
            else "no openid" if "openid" not in asked.get("scope", "").split()
            else "no PKCE" if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge")
            else "no state" if not asked.get("state")
            else ""
        )  # fmt: skip
        if fault:
            self._say(400, {"error": "invalid_request", "error_description": fault})
            return
        if asked.get("go") == "no":
            sent = {"error": "access_denied", "state": asked["state"]}
        else:
            sent = {"code": provider.code_for(asked["email"], asked), "state": asked["state"]}
        if provider.wrong == "state":
            sent["state"] = "of another sign-in"
        if provider.names_itself or provider.wrong == "answer of another":
            sent["iss"] = (
                provider.issuer if provider.wrong != "answer of another" else "https://elsewhere.example"
            )
        self._redirect(f"{back}?{urlencode(sent)}")

    def _token(self, fields: dict[str, str]) -> None:
        provider = self.provider
        if provider.wrong == "token endpoint fails":
            self._answer(500, "text/plain", "out of order")
            return
        if self._client(fields) != (provider.client_id, provider.secret):
            self._say(401, {"error": "invalid_client"})
            return
        asked = provider.codes.pop(fields.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(
            hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        )
        if (
            asked is None
            or fields.get("redirect_uri") != asked["redirect_uri"]
            or challenge.rstrip(b"=").decode() != asked["code_challenge"]
        ):
            self._say(400, {"error": "invalid_grant"})
            return
        access = secrets.token_urlsafe(16)
        provider.access[access] = asked["email"]
        said = {"access_token": access, "token_type": "Bearer", "expires_in": 300}
        if provider.wrong != "no token":
            said["id_token"] = provider.token(asked["email"], asked.get("nonce", ""))
        self._say(200, said)

    def _client(self, fields: dict[str, str]) -> tuple[str, str]:
        kind, _, proof = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(proof).decode().partition(":")
            return unquote(name), unquote(secret)
        return fields.get("client_id", ""), fields.get("client_secret", "")

    def _userinfo(self) -> None:
        provider = self.provider
        email = provider.access.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if email is None:
            self._say(401, {"error": "invalid_token"})
            return
        said = provider.person(email)
        self._say(200, {**said, "sub": "somebody-else"} if provider.wrong == "details of another" else said)

    def _say(self, status: int, said: dict[str, Any]) -> None:
        self._answer(status, "application/json", json.dumps(said))

    def _redirect(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # whoever asked has heard enough


@contextmanager
def oidc_provider() -> Iterator[Provider]:
    """Run a provider on this machine."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    provider = Provider(server.server_address[1])
    handler.provider = provider  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
