"""A sign-in by the tenant's provider: to it and back, under allauth's flow.

allauth keeps the state and the PKCE verifier of each sign-in in the session, and completes the login: it asks for our
second factor and gives the session a new key. What it leaves open is here: the nonce, who the answer is from, the
token's signature and claims (`tokens`), where requests may go (`core.asking`), and who is let in (`services.admit`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.base.constants import AuthError, AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Client
from allauth.socialaccount.providers.oauth2.utils import generate_code_challenge
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accounts.adapters import DirectoryAdapter
from accounts.provider_models import SignInProvider
from accounts.single_sign_on import discovery
from accounts.single_sign_on.services import (
    LINKS,
    SignInRefused,
    admit,
    kept_of,
    key_of,
    provider_or_none,
    secret_of,
)
from accounts.single_sign_on.tokens import NotBelieved, Said, UnknownKey, nonce_of, read_token, with_details
from core import clock

OPENID = "openid_connect"


class TenantsOpenID(OpenIDConnectOAuth2Adapter):
    """Talks to the tenant's provider for one request."""

    def __init__(self, request: HttpRequest, row: SignInProvider) -> None:
        super().__init__(request, LINKS)
        self.row = row
        self.verifier = ""

    def get_provider(self) -> TenantsProvider:
        return TenantsProvider(self.request, app=app_of(self.row), row=self.row)

    @property
    def published(self) -> discovery.Published:
        return discovery.published(self.row.issuer)

    @property
    def access_token_url(self) -> str:
        return self.published.token

    @property
    def authorize_url(self) -> str:
        return self.published.authorize

    @property
    def basic_auth(self) -> bool:
        return self.published.is_basic

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return callback_address(request)

    def get_access_token_data(
        self,
        request: HttpRequest,
        app: SocialApp,
        client: OAuth2Client,
        pkce_code_verifier: str | None = None,
    ) -> dict[str, Any]:
        """Return what the provider gives for the code, if the answer is the provider's.

        :raises SignInRefused: it is somebody else's, or not of a sign-in begun here.
        :raises ProviderUnusable: the provider gives nothing.
        """
        of, claimed = self.published, request.GET.get("iss")
        if claimed != of.issuer and (claimed is not None or of.names_itself):  # RFC 9207
            raise SignInRefused(
                "answer-of-another", "The answer came from another provider. Begin again on the sign-in page."
            )
        self.verifier = pkce_code_verifier or ""
        if not self.verifier:
            raise SignInRefused(
                "no-verifier", "This sign-in was not begun here. Begin again on the sign-in page."
            )
        return discovery.redeem(
            of, code=request.GET["code"][:4096], verifier=self.verifier, address=callback_address(request),
            client_id=self.row.client_id, secret=secret_of(self.row),
        )  # fmt: skip

    def parse_token(self, data: dict[str, Any]) -> SocialToken:
        return SocialToken(token="")  # what opens the provider's own doors is not kept

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any
    ) -> SocialLogin:
        """Return the login of whom the provider vouches for.

        :raises SignInRefused: its token is not believed, or lets nobody in.
        """
        said = self._said(kwargs["response"])
        admit(said=said, provider=self.row)  # allauth finds the link by itself
        login: SocialLogin = self.get_provider().sociallogin_from_response(request, said)
        # For `gate.OwnFactor`, in this same request.
        login.has_factor = self.row.trusts_second_factor and said.has_second_factor(
            self.row.second_factor_levels
        )
        return login

    def _said(self, given: dict[str, Any]) -> Said:
        of = self.published
        wanted: dict[str, Any] = {
            "issuer": of.issuer,
            "client_id": self.row.client_id,
            "nonce": nonce_of(self.verifier),
            "now": clock.now().timestamp(),
        }
        try:
            try:
                said = read_token(given.get("id_token"), keys=discovery.published_keys(of), **wanted)
            except UnknownKey:  # the provider may have new ones
                keys = discovery.published_keys(of, fresh=True)
                said = read_token(given.get("id_token"), keys=keys, **wanted)
            if not said.email:
                details = discovery.details_of(of, str(given.get("access_token") or ""))
                said = with_details(said, details) if details else said
        except NotBelieved as refused:
            raise SignInRefused(refused.reason, f"{refused.sentence} Nobody was signed in.") from None
        return said


class TenantsProvider(OpenIDConnectProvider):
    """The tenant's provider as allauth knows providers."""

    def __init__(self, request: HttpRequest, app: SocialApp, row: SignInProvider) -> None:
        super().__init__(request, app=app)
        self.row = row

    def get_login_url(self, request: HttpRequest, **kwargs: Any) -> str:
        return reverse("accounts_single_sign_on")

    def get_callback_url(self) -> str:
        return reverse("accounts_single_sign_on_callback")

    def get_oauth2_adapter(self, request: HttpRequest) -> TenantsOpenID:
        return TenantsOpenID(request, self.row)

    def get_default_scope(self) -> list[str]:
        return ["openid", "email", "profile"]

    def get_auth_params(self) -> dict[str, str]:
        levels = self.row.second_factor_levels if self.row.trusts_second_factor else []
        return {"acr_values": " ".join(levels)} if levels else {}

    def get_pkce_params(self) -> dict[str, str]:
        params: dict[str, str] = generate_code_challenge()
        return {**params, "nonce": nonce_of(params["code_verifier"])}

    def extract_uid(self, said: Said) -> str:
        return key_of(said.issuer, said.subject)

    def extract_extra_data(self, said: Said) -> dict[str, str]:
        return kept_of(said)

    def extract_common_fields(self, said: Said) -> dict[str, str]:
        return {"email": said.email, "name": said.name}

    def extract_email_addresses(self, said: Said) -> list[EmailAddress]:
        return []


class ProviderAdapter(DirectoryAdapter):
    """What allauth asks of providers: the tenant's own is the only one, whatever stands in its tables."""

    def list_providers(self, request: HttpRequest) -> list[TenantsProvider]:
        row = provider_or_none()
        return [TenantsProvider(request, app=app_of(row), row=row)] if row is not None and row.is_on else []

    def get_provider(
        self, request: HttpRequest, provider: str, client_id: str | None = None
    ) -> TenantsProvider:
        row = provider_or_none()
        if provider != LINKS or row is None:
            raise SocialApp.DoesNotExist
        return TenantsProvider(request, app=app_of(row), row=row)

    def list_apps(
        self, request: HttpRequest, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        row = provider_or_none()
        return [app_of(row)] if row is not None and row.is_on else []

    def get_requests_session(self) -> Any:
        """Let no request of allauth's own go out: they know no private networks.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError("requests to a provider go by core.asking")

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Any = None,
        extra_context: Any = None,
    ) -> None:
        """Say what went wrong on a page of ours.

        :raises SignInRefused: always.
        """
        if error == AuthError.CANCELLED:
            raise SignInRefused(
                "cancelled", "The sign-in was called off at the provider. Nobody was signed in."
            )
        if not (extra_context or {}).get("state"):
            raise SignInRefused(
                "no-state",
                "This sign-in was not begun in this browser, or too long ago. Begin again on the sign-in page.",
            )
        raise SignInRefused(
            "provider-said-no", "The provider did not sign you in. Begin again, or ask whoever runs it."
        )


def app_of(row: SignInProvider) -> SocialApp:
    """Return a provider as allauth knows programs; it is never saved, and has no secret."""
    return SocialApp(provider=OPENID, provider_id=LINKS, name=row.name, client_id=row.client_id, settings={})


def callback_address(request: HttpRequest) -> str:
    """Return where the provider sends people back to, on the host that was asked."""
    return request.build_absolute_uri(reverse("accounts_single_sign_on_callback"))


def switched_on() -> SignInProvider:
    """Return the tenant's provider.

    :raises SignInRefused: there is none, or it is switched off.
    """
    row = provider_or_none()
    if row is None or not row.is_on:
        raise SignInRefused("no-provider", "Nobody signs in by a provider here. Sign in with your password.")
    return row


def begin(request: HttpRequest, *, onward: str) -> str:
    """Return where the browser goes to sign in at the provider. `onward`: a page of this host to lead to in the end.

    :raises SignInRefused: there is no provider.
    :raises ProviderUnusable: it does not publish what a sign-in needs.
    """
    row = switched_on()
    provider = TenantsProvider(request, app=app_of(row), row=row)
    answer = provider.redirect(request, process=AuthProcess.LOGIN, next_url=onward)
    address: str = answer["Location"]
    if urlsplit(address).scheme not in ("https", "http"):
        raise SignInRefused("bad-address", "The provider's address is none.")
    return address


def finish(request: HttpRequest) -> HttpResponse:
    """Sign in whom the provider vouches for, and lead on.

    :raises SignInRefused: nobody is.
    :raises ProviderUnusable: the provider does not answer as it should.
    :raises QuotaReached: a new person would be one too many.
    """
    answer: HttpResponse = OAuth2CallbackView.adapter_view(TenantsOpenID(request, switched_on()))(request)
    return answer
