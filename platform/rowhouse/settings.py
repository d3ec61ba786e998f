"""Every setting, top to bottom in the order a request meets it; what differs per place comes from the environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy

from core import env, logging

BASE_DIR = Path(__file__).resolve().parents[2]

# Each env.section() is one of docs/reference/settings.md, which is made of what is read here.
env.section("Place and safety")

# ---- where things are ------------------------------------------------------------------------------------

_IS_TEST = "pytest" in sys.modules
ROWHOUSE_DATA = Path(
    env.text(
        "ROWHOUSE_DATA",
        ".rowhouse/test" if _IS_TEST else ".rowhouse",
        purpose="Folder of local files and caches; in development the database too.",
        shown=".rowhouse",
    )
)
ROWHOUSE_PUBLIC_HOSTS = env.words(
    "ROWHOUSE_PUBLIC_HOSTS", "localhost,127.0.0.1", purpose="Hosts of the operator site."
)
ROWHOUSE_BASE_DOMAIN = env.text(
    "ROWHOUSE_BASE_DOMAIN", "localhost", purpose="A tenant's first domain is its slug, a dot and this."
)

# ---- safety ----------------------------------------------------------------------------------------------

DEBUG = env.boolean("ROWHOUSE_DEBUG", False, purpose="Debug pages and plain cookies; refused in production.")
IS_PRODUCTION = env.boolean("ROWHOUSE_PRODUCTION", False, purpose="Refuses weak secrets and plain HTTP.")
DEVELOPMENT_KEY = "development-only-key-that-production-refuses-to-start-with"
SECRET_KEY = env.text(
    "ROWHOUSE_SECRET_KEY",
    DEVELOPMENT_KEY,
    purpose="Signs sessions: 50 or more random characters; required in production.",
    shown="one for development",
    secret=True,
)
SECRET_KEY_FALLBACKS = env.words(
    "ROWHOUSE_SECRET_KEY_FALLBACKS",
    purpose="Former keys, accepted while a rotation goes on.",
    secret=True,
)
ROWHOUSE_SEALING_KEYS = env.words(
    "ROWHOUSE_SEALING_KEYS",
    purpose="Seal stored secrets, such as those of tenants' buckets: the first seals, all open; 32 or "
    "more random characters each in production.",
    shown="the secret key and its fallbacks",
    secret=True,
) or [SECRET_KEY, *SECRET_KEY_FALLBACKS]
ROWHOUSE_AUDIT_KEYS = (
    env.words(
        "ROWHOUSE_AUDIT_KEYS",
        purpose="Sign the log of events: the first signs, all are believed.",
        shown="the sealing keys",
        secret=True,
    )
    or ROWHOUSE_SEALING_KEYS
)
if IS_PRODUCTION and (SECRET_KEY == DEVELOPMENT_KEY or len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 5):
    raise ImproperlyConfigured("ROWHOUSE_SECRET_KEY: set 50 or more random characters.")
if IS_PRODUCTION and min(map(len, ROWHOUSE_SEALING_KEYS)) < 32:
    raise ImproperlyConfigured("ROWHOUSE_SEALING_KEYS: each must be 32 or more random characters.")
if IS_PRODUCTION and any(DEVELOPMENT_KEY in keys for keys in (SECRET_KEY_FALLBACKS, ROWHOUSE_SEALING_KEYS)):
    raise ImproperlyConfigured("ROWHOUSE_SECRET_KEY_FALLBACKS: the key of development is known to everybody.")
for _name, _keys in (
    ("ROWHOUSE_SECRET_KEY", [SECRET_KEY]),
    ("ROWHOUSE_SECRET_KEY_FALLBACKS", SECRET_KEY_FALLBACKS),
    ("ROWHOUSE_SEALING_KEYS", ROWHOUSE_SEALING_KEYS),
    ("ROWHOUSE_AUDIT_KEYS", ROWHOUSE_AUDIT_KEYS),
):
    if IS_PRODUCTION and any(map(env.is_guessable, _keys)):
        raise ImproperlyConfigured(
            f"{_name}: one can be guessed. Make random characters: openssl rand -hex 32."
        )
if IS_PRODUCTION and DEBUG:
    raise ImproperlyConfigured("ROWHOUSE_DEBUG: a production installation never runs with it.")

env.section("Web")
ROWHOUSE_PROXIES = env.integer(
    "ROWHOUSE_PROXIES",
    0,
    purpose="How many proxies stand in front, each of which appends to `X-Forwarded-For`; events name the "
    "address that the outermost was asked by. 0: that header counts for nothing.",
)
env.section("Place and safety")
# Hosts are checked by tenants.middleware, which knows every domain; anything else is a 404 there.
ALLOWED_HOSTS = ["*"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_USE_SESSIONS = True  # a sibling subdomain can toss a cookie, not a session
if IS_PRODUCTION:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME = "__Host-session"
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
# Whether browsers ship the domain in their list is for its owner to say; that no mail is sent, `doctor` tells.
SILENCED_SYSTEM_CHECKS = ["security.W021", "mail.W001"]
# What pages outside of the admin's look may load: our own styles, images and fonts, and no script at all.
SECURE_CSP = {
    "default-src": ["'none'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "font-src": ["'self'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
}
# The admin's look: its scripts come from files and evaluate no text, and only attributes set styles
# (docs/decisions/0061).
ROWHOUSE_ADMIN_CSP = {
    **SECURE_CSP,
    "script-src": ["'self'"],
    "connect-src": ["'self'"],
    "style-src-attr": ["'unsafe-inline'"],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5_000
ROWHOUSE_UPLOAD_MAX_BYTES = env.integer(
    "ROWHOUSE_UPLOAD_MAX_MB", 1024, purpose="Largest file that may be uploaded, in MiB.", minimum=1
) * 1024 * 1024  # fmt: skip
env.section("Imports")
ROWHOUSE_RECORD_FILLFACTOR = env.integer(
    "ROWHOUSE_RECORD_FILLFACTOR",
    50,
    purpose="How full the pages of a new dataset's records are filled, in percent: the rest is room "
    "for changes, which then touch no index; 100 saves half of the space where records never "
    "change.",
    minimum=10,
)
ROWHOUSE_PREVIEW_KEEP_DAYS = env.integer(
    "ROWHOUSE_PREVIEW_KEEP_DAYS",
    14,
    purpose="How long a preview waits for its confirmation; then it is cancelled and its staged rows "
    "go; so long, too, a file waits to become a dataset.",
    minimum=1,
)
ROWHOUSE_UPLOAD_KEEP_DAYS = env.integer(
    "ROWHOUSE_UPLOAD_KEEP_DAYS",
    90,
    purpose="How long an uploaded file is kept after its import ended; the import itself stays.",
    minimum=1,
)

env.section("Place and safety")

# ---- apps ------------------------------------------------------------------------------------------------

# In `public`: the platform's own. A tenant's role and search path never reach it.
SHARED_APPS = [
    "core",
    "tenants",  # before django_tenants, whose commands of the same names are not ours
    "django_tenants",
    "jobs",
    "django_q",
    "accounts.operators",
    "audit",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
# In every tenant's schema. unfold comes before the admin whose templates it replaces.
TENANT_APPS = [
    "unfold.apps.BasicAppConfig",  # the other one replaces Django's default site
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.guardian",
    "unfold.contrib.simple_history",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "rowhouse.apps.AdminConfig",
    "guardian",
    "simple_history",
    "accounts",
    "accounts.tokens",
    "audit",
    "datasets",
    "importer",
    "exporter",
    # Their rows are people's: second factors, sessions, and whom another directory vouches for. After `accounts`,
    # whose templates stand in the place of theirs.
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
]
# A developer's own apps, with models that take imports.
EXTRA_APPS = env.words(
    "ROWHOUSE_EXTRA_APPS",
    purpose="A developer's own Django apps, in every tenant's schema, for imports into plain models.",
)
if _IS_TEST:
    EXTRA_APPS = [*EXTRA_APPS, "importer.examples.stock"]
TENANT_APPS += EXTRA_APPS
_LIBRARY_APPS = [
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "knox",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rowhouse",
    "allauth",
]
# Tokens are our own model; knox's table would be one more in every schema.
MIGRATION_MODULES: dict[str, str | None] = {"knox": None}
# django_tenants ships admin templates that break unfold's sidebar: it comes last of the two.
INSTALLED_APPS = list(
    dict.fromkeys([*TENANT_APPS[:5], *SHARED_APPS, *TENANT_APPS[5:], *_LIBRARY_APPS])
)  # fmt: skip
TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"
PUBLIC_SCHEMA_NAME = "public"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]

# ---- requests --------------------------------------------------------------------------------------------

MIDDLEWARE = [
    "core.cookies.PlainCookies",  # before anybody reads one
    "core.headers.Headers",  # around whoever answers
    "rowhouse.observing.probes.Probes",  # for any host, and never a redirect
    "rowhouse.observing.requests.Observed",  # around all that answer
    "rowhouse.work.live.Polls",  # answers live polls with one query, before the tenant is looked up
    "core.methods.KnownMethods",  # TRACE is none
    "tenants.middleware.TenantMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "core.headers.PagePolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "core.paces.Paces",  # before the form's token is looked for, which reads the body
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.People",
    "importer.middleware.BodyLimit",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "core.httperrors.ErrorPages",
]
ROOT_URLCONF = "rowhouse.urls_tenant"
PUBLIC_SCHEMA_URLCONF = "rowhouse.urls_public"
WSGI_APPLICATION = "rowhouse.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# ---- database --------------------------------------------------------------------------------------------

env.section("Database")
DATABASE_URL = env.text(
    "DATABASE_URL",
    purpose="`postgresql://user:password@host:5432/name`; unset starts the embedded server of development.",
    secret=True,
)
# The role has one password at a time: pods that know the next one too outlive its change.
ROWHOUSE_DATABASE_PASSWORD_FALLBACKS = env.words(
    "ROWHOUSE_DATABASE_PASSWORD_FALLBACKS",
    purpose="Further passwords of the database role, tried when that in `DATABASE_URL` is refused"
    " ([rotating](../operations/secrets.md)).",
    secret=True,
)
if IS_PRODUCTION and not DATABASE_URL:
    raise ImproperlyConfigured("DATABASE_URL: a production installation needs a PostgreSQL of its own.")


_PASSWORD = str(environ.Env.db_url_config(DATABASE_URL).get("PASSWORD") or "") if DATABASE_URL else ""
if IS_PRODUCTION and _PASSWORD and (env.is_default_password(_PASSWORD) or _PASSWORD == SECRET_KEY):
    raise ImproperlyConfigured(
        "DATABASE_URL: its password is one that everybody tries first, or the secret key. Give the role one of its own."
    )


def _database() -> dict[str, Any]:
    url = DATABASE_URL
    if not url:
        from core.embedded import EmbeddedServer  # noqa: PLC0415 -- only where no database is given

        url = EmbeddedServer(ROWHOUSE_DATA.resolve() / "postgres").url()
    parsed = dict(environ.Env.db_url_config(url))
    # The sockets' folder travels as ?host=, which the parser leaves in OPTIONS.
    parsed["HOST"] = parsed.get("OPTIONS", {}).pop("host", None) or parsed["HOST"]
    return parsed


DATABASES = {
    "default": {
        **_database(),
        "ENGINE": "core.backend",
        "CONN_MAX_AGE": env.integer(
            "ROWHOUSE_CONN_MAX_AGE",
            300,
            purpose="Seconds a connection is kept; one that has served 64 tenants is replaced before, or its "
            "process on the server would grow by the tables of each.",
        ),
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
}
# What PostgreSQL shows of each connection, and how others see that workers are there.
WORKER_NAME = "rowhouse worker"
WEB_NAME = "rowhouse web"
_IS_WEB = "gunicorn.arbiter" in sys.modules
_NAME = WORKER_NAME if sys.argv[1:2] == ["worker"] else WEB_NAME if _IS_WEB else "rowhouse"
DATABASES["default"].setdefault("OPTIONS", {}).update(
    keepalives_idle=30, keepalives_interval=10, keepalives_count=3, application_name=_NAME
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ---- storage ---------------------------------------------------------------------------------------------

env.section("Storage")
S3_BUCKET = env.text("ROWHOUSE_S3_BUCKET", purpose="The bucket of all files.")
_S3_ENDPOINT = env.text("ROWHOUSE_S3_ENDPOINT", purpose="URL of the S3 server, if it is not Amazon's.")
_S3_REGION = env.text("ROWHOUSE_S3_REGION", "us-east-1", purpose="Region of the bucket.")
_S3_ACCESS_KEY = env.text(
    "ROWHOUSE_S3_ACCESS_KEY", purpose="Access key; unset: the identity of the machine or pod.", secret=True
)
_S3_SECRET_KEY = env.text("ROWHOUSE_S3_SECRET_KEY", purpose="Secret key.", secret=True)
_S3_ADDRESSING = env.text(
    "ROWHOUSE_S3_ADDRESSING", "path", purpose="`path` or `virtual`: how the bucket stands in URLs."
)
_S3_CHECKSUMS = env.choice(
    "ROWHOUSE_S3_CHECKSUMS",
    "when_required",
    purpose="`when_required` or `when_supported`; many servers know only the first.",
    choices=("when_required", "when_supported"),
)
if S3_BUCKET:
    from core.s3 import config_of
    from core.s3http import Patience

    _default_storage: dict[str, Any] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "endpoint_url": _S3_ENDPOINT or None,
            "region_name": _S3_REGION,
            "access_key": _S3_ACCESS_KEY or None,
            "secret_key": _S3_SECRET_KEY or None,
            "signature_version": "s3v4",
            "addressing_style": _S3_ADDRESSING,
            "querystring_auth": True,
            "querystring_expire": 60,
            "default_acl": None,
            "file_overwrite": True,  # keys are unique by design; a retry writes the same object again
            "client_config": config_of(_S3_ADDRESSING, _S3_CHECKSUMS, Patience()),
        },
    }
else:
    _default_storage = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(ROWHOUSE_DATA.resolve() / "storage")},
    }
ROWHOUSE_S3_LINK_ENDPOINT = env.text(
    "ROWHOUSE_S3_LINK_ENDPOINT",
    purpose="URL of the S3 server as browsers reach it, where that is another; `none`: no browser "
    "does, and downloads go through the platform.",
    shown="the same",
)
STATIC_URL = "/static/"
STATIC_ROOT = env.text(
    "ROWHOUSE_STATIC_ROOT",
    str(ROWHOUSE_DATA.resolve() / "static") if IS_PRODUCTION else "",
    purpose="Where `collectstatic` puts static files, which are served from there under hashed names.",
    shown="`static` below the data folder, in production",
)
STORAGES = {
    "default": _default_storage,
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_ROOT
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
# Without a place to be collected in, static files come from the apps' folders.
WHITENOISE_USE_FINDERS = not STATIC_ROOT
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_ALLOW_ALL_ORIGINS = False  # no page of another origin has use for them

# ---- tenants ---------------------------------------------------------------------------------------------

env.section("Place and safety")
_ROUTING_SECONDS = env.integer(
    "ROWHOUSE_ROUTING_SECONDS",
    5,
    purpose="How long a process trusts what it has read of domains and the states of their tenants; "
    "0: it asks at each request.",
    minimum=0,
)
# Tests change tenants behind the services' backs, and each must see what it has done.
ROWHOUSE_ROUTING_SECONDS = 0 if _IS_TEST else _ROUTING_SECONDS
ROWHOUSE_DNS_RESOLVERS = env.words(
    "ROWHOUSE_DNS_RESOLVERS",
    purpose="Who is asked for the records that show whose a domain is: `host` or `host:port`.",
    shown="the machine's own",
)
# What a tenant may have unless an operator has said otherwise of it; 0: no limit.
env.section("What a tenant may have")
ROWHOUSE_QUOTA_ROWS = env.integer(
    "ROWHOUSE_QUOTA_ROWS", 0, purpose="Records of all datasets together.", minimum=0
)
ROWHOUSE_QUOTA_MB = env.integer(
    "ROWHOUSE_QUOTA_MB", 0, purpose="Space of records, history and files together, in MB.", minimum=0
)
ROWHOUSE_QUOTA_DATASETS = env.integer(
    "ROWHOUSE_QUOTA_DATASETS", 0, purpose="Datasets of a tenant.", minimum=0
)
ROWHOUSE_QUOTA_JOBS = env.integer("ROWHOUSE_QUOTA_JOBS", 0, purpose="Jobs that wait or run.", minimum=0)
ROWHOUSE_QUOTA_USERS = env.integer("ROWHOUSE_QUOTA_USERS", 0, purpose="Active users of a tenant.", minimum=0)

# How often in ten minutes one person may do what costs the platform something, and all of a tenant together five
# times as often (core.paces).
env.section("How often")
ROWHOUSE_PACES = {
    "upload": env.integer(
        "ROWHOUSE_PACE_UPLOAD", 60, purpose="Files one person may upload in ten minutes.", minimum=0
    ),
    "confirm": env.integer(
        "ROWHOUSE_PACE_CONFIRM",
        120,
        purpose="Imports one person may confirm, or have previewed anew, in ten minutes.",
        minimum=0,
    ),
    "undo": env.integer(
        "ROWHOUSE_PACE_UNDO",
        60,
        purpose="Imports, changes and records one person may take back in ten minutes.",
        minimum=0,
    ),
    "export": env.integer(
        "ROWHOUSE_PACE_EXPORT", 60, purpose="Exports one person may start in ten minutes.", minimum=0
    ),
    "download": env.integer(
        "ROWHOUSE_PACE_DOWNLOAD", 300, purpose="Files one person may fetch in ten minutes.", minimum=0
    ),
    "restore": env.integer(
        "ROWHOUSE_PACE_RESTORE", 30, purpose="Restores one person may ask for in ten minutes.", minimum=0
    ),
    "backup": env.integer(
        "ROWHOUSE_PACE_BACKUP",
        60,
        purpose="Backups and trials of them one operator may ask for in ten minutes.",
        minimum=0,
    ),
    "try": env.integer(
        "ROWHOUSE_PACE_TRY",
        30,
        purpose="Notices and destinations one person may try, which calls other servers, in ten minutes.",
        minimum=0,
    ),
}

# ---- accounts --------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "accounts.backends.TenantBackend",
    "accounts.backends.OperatorBackend",
    "guardian.backends.ObjectPermissionBackend",
]
# Length is what counts: no rules of composition, and none that makes people change it.
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "first_name", "last_name")},
    },
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "accounts.passwords.MaximumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
env.section("Signing in")
ROWHOUSE_SIGN_INS_PER_MINUTE = env.integer(
    "ROWHOUSE_SIGN_INS_PER_MINUTE",
    60,
    purpose="How often within a minute one address may try to sign in at one tenant; more is refused before a "
    "password is looked at. 0: no limit, for tests that sign many people in.",
    minimum=0,
)
ROWHOUSE_OPERATOR_SECOND_FACTOR = env.boolean(
    "ROWHOUSE_OPERATOR_SECOND_FACTOR",
    IS_PRODUCTION,
    purpose="Operators sign in with a second factor, and add one at the first sign-in; production refuses to start "
    "without.",
    shown="true in production",
)
if IS_PRODUCTION and not ROWHOUSE_OPERATOR_SECOND_FACTOR:
    raise ImproperlyConfigured("ROWHOUSE_OPERATOR_SECOND_FACTOR: production never lets operators in without.")
# allauth asks for second factors and keeps them; nobody becomes a user by it alone.
ACCOUNT_ADAPTER = "accounts.single_sign_on.gate.GatedAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"  # who is invited has read the mail, or was told by who invited
ACCOUNT_RATE_LIMITS = False  # they count in one process's memory; ours count for all
ACCOUNT_REAUTHENTICATION_METHODS = {"password", "mfa"}
SOCIALACCOUNT_ADAPTER = "accounts.single_sign_on.flow.ProviderAdapter"
SOCIALACCOUNT_STORE_TOKENS = False  # what opens the provider's own doors is not kept
MFA_ADAPTER = "accounts.adapters.FactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_TOLERANCE = 1  # the code before and the one after: people type slowly, and clocks differ
MFA_FORMS = {
    "authenticate": "accounts.factor_forms.CodeForm",
    "reauthenticate": "accounts.factor_forms.ConfirmCodeForm",
    "activate_totp": "accounts.factor_forms.FirstCodeForm",
    "add_webauthn": "accounts.factor_forms.NewPasskeyForm",
    "authenticate_webauthn": "accounts.factor_forms.PasskeyForm",
    "reauthenticate_webauthn": "accounts.factor_forms.ConfirmPasskeyForm",
}
env.section("Signing in")
ROWHOUSE_SIGN_IN_PRIVATE_HOSTS = env.words(
    "ROWHOUSE_SIGN_IN_PRIVATE_HOSTS",
    purpose="Hosts of the own network that tenants' sign-in providers may be, also unencrypted.",
)
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not IS_PRODUCTION  # browsers take http://*.localhost for safe
if _IS_TEST:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ANONYMOUS_USER_NAME = None  # guardian's extra user would be a row in every tenant
GUARDIAN_MONKEY_PATCH_USER = False
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/"  # which leads on to the host's own admin site
SESSION_ENGINE = "django.contrib.sessions.backends.db"  # in the tenant's schema: no cookie works on another
MESSAGE_STORAGE = (
    "django.contrib.messages.storage.session.SessionStorage"  # what they say goes into no cookie
)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_FUNCTION": "django_tenants.cache.make_key",
        "REVERSE_KEY_FUNCTION": "django_tenants.cache.reverse_key",
    }
}

# ---- the HTTP API ----------------------------------------------------------------------------------------

env.section("HTTP API")
ROWHOUSE_API_ACCESS_DAYS = env.integer(
    "ROWHOUSE_API_ACCESS_DAYS",
    90,
    purpose="How long an API token is good unless its person chooses another time, in days; at most 365.",
    minimum=1,
)
if ROWHOUSE_API_ACCESS_DAYS > 365:
    raise ImproperlyConfigured(f"ROWHOUSE_API_ACCESS_DAYS: {ROWHOUSE_API_ACCESS_DAYS} is more than 365.")
ROWHOUSE_API_PERSON_PER_MINUTE = env.integer(
    "ROWHOUSE_API_PERSON_PER_MINUTE",
    600,
    purpose="Requests to the API that all tokens of one person together may make in a minute; 0: no limit.",
)
ROWHOUSE_API_TENANT_PER_MINUTE = env.integer(
    "ROWHOUSE_API_TENANT_PER_MINUTE",
    3000,
    purpose="Requests to the API that all people of a tenant together may make in a minute; 0: no limit.",
)
KNOX_TOKEN_MODEL = "tokens.ApiToken"  # noqa: S105 -- a model's name
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer"}
REST_FRAMEWORK = {
    # Tokens alone: no page of another site can make a browser send one.
    "DEFAULT_AUTHENTICATION_CLASSES": ["rowhouse.api.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rowhouse.api.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "rowhouse.api.refusing.AlwaysJson",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "rowhouse.api.refusing.answer",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Rowhouse",
    "DESCRIPTION": "What programs can do with a tenant's datasets. Every answer is JSON, every refusal a problem of"
    " RFC 9457 with a `code`.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_PUBLIC": True,
    "SERVE_INCLUDE_SCHEMA": True,
    "SERVE_AUTHENTICATION": None,
    "ENUM_NAME_OVERRIDES": {
        "ImportStateEnum": "importer.models.State",
        "JobStateEnum": "jobs.models.State",
        "ImportModeEnum": "importer.models.Mode",
        "FileModeEnum": "exporter.models.Mode",
    },
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "rowhouse.api.schema.with_problems",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# ---- background work -------------------------------------------------------------------------------------

env.section("Background work")
ROWHOUSE_WORKERS = env.integer("ROWHOUSE_WORKERS", 2, purpose="Processes of one worker.", minimum=1)
ROWHOUSE_WORKER_NICE = env.integer(
    "ROWHOUSE_WORKER_NICE",
    10,
    purpose="By how much a worker's processes give way to others on their machine, such as the web's: 0 not at "
    "all, 19 to anybody.",
)
ROWHOUSE_HOURLY_JITTER_SECONDS = env.integer(
    "ROWHOUSE_HOURLY_JITTER_SECONDS",
    3300,
    purpose="Hourly work of all tenants is spread over this many seconds; that of tenants with slots "
    "of 15 minutes over a quarter of them.",
)
ROWHOUSE_JOB_LEASE_SECONDS = env.integer(
    "ROWHOUSE_JOB_LEASE_SECONDS", 30, purpose="How long a worker that says nothing keeps its job.", minimum=2
)
ROWHOUSE_LEAVE_SECONDS = env.integer(
    "ROWHOUSE_LEAVE_SECONDS",
    8,
    purpose="How long one statement may go on in a worker that was told to end; then it is stopped, "
    "and its job starts anew elsewhere.",
    minimum=0,
)
ROWHOUSE_JOB_ENGINE = env.choice(
    "ROWHOUSE_JOB_ENGINE",
    "queue",
    purpose="Who does background work: workers (`queue`), or whoever asks for it, before the call "
    "returns (`immediate`, for scripts and tests).",
    choices=("queue", "immediate"),
)
ROWHOUSE_JOB_MAX_SECONDS = env.integer(
    "ROWHOUSE_JOB_MAX_SECONDS", 21_600, purpose="How long one job may work in all.", minimum=1
)
ROWHOUSE_TICK_SECONDS: float = env.integer(
    "ROWHOUSE_TICK_SECONDS", 5, purpose="How often a worker looks for due and forgotten work.", minimum=1
)
ROWHOUSE_JOB_KEEP_DAYS = env.integer(
    "ROWHOUSE_JOB_KEEP_DAYS",
    30,
    purpose="Days a job that ended stays on the operators' page; one that failed stays three times as long.",
    minimum=1,
)
ROWHOUSE_RUN_DIR = Path(
    env.text(
        "ROWHOUSE_RUN_DIR",
        str(ROWHOUSE_DATA / "run"),
        purpose="Folder of heartbeats and the drain flag.",
        shown="`run` below the data folder",
    )
)
# The queue carries doorbells only; what work there is stands in jobs.Job.
Q_CLUSTER = {
    "name": "rowhouse",
    "orm": "default",
    "broker_class": "jobs.engine.Bells",
    "workers": ROWHOUSE_WORKERS,
    "queue_limit": 1,
    "bulk": 1,
    "timeout": 60,
    "retry": 240,
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,
    "catch_up": False,
    "poll": 1.0,
    "guard_cycle": 0.5,
    "recycle": 200,
    "cached": False,
    "scheduler": False,  # a schedule's row names any function to run; the worker ticks by itself
    "ALT_CLUSTERS": {},
    "label": "Queue",
}

# ---- tenants ---------------------------------------------------------------------------------------------

env.section("Place and safety")
ROWHOUSE_SPARE_SCHEMAS = env.integer(
    "ROWHOUSE_SPARE_SCHEMAS",
    0 if _IS_TEST else 2,
    purpose="Schemas made beforehand, so that a new tenant has one at once; `0`: none.",
    minimum=0,
)

# ---- imports ---------------------------------------------------------------------------------------------

env.section("Imports")
ROWHOUSE_MERGE_MEMORY_MB = env.integer(
    "ROWHOUSE_MERGE_MEMORY_MB",
    256,
    purpose="`work_mem` and `maintenance_work_mem` of one merge in PostgreSQL, in MB.",
    minimum=1,
)

# ---- exports ---------------------------------------------------------------------------------------------

env.section("Exports")
# A file is removed when it is past either limit; the newest good one of each dataset always stays.
ROWHOUSE_EXPORT_KEEP_DAYS = env.integer(
    "ROWHOUSE_EXPORT_KEEP_DAYS",
    30,
    purpose="Files older than this many days are removed; 0 switches the limit off.",
)
ROWHOUSE_EXPORT_KEEP_COUNT = env.integer(
    "ROWHOUSE_EXPORT_KEEP_COUNT",
    1000,
    purpose="Files of a dataset beyond this many are removed; 0 switches the limit off.",
)
ROWHOUSE_DESTINATION_PRIVATE_HOSTS = env.words(
    "ROWHOUSE_DESTINATION_PRIVATE_HOSTS",
    purpose="Hosts to which tenants may export although they are in a private network or unencrypted, "
    "such as `minio.internal`.",
)

# ---- backups ---------------------------------------------------------------------------------------------

env.section("Backups and deletion")
ROWHOUSE_BACKUP_KEYS = env.words(
    "ROWHOUSE_BACKUP_KEYS",
    purpose="Keys of 32 or more random characters, comma-separated: the first encrypts backups, all "
    "open them. Unset, backups are not encrypted.",
    secret=True,
)
if IS_PRODUCTION and ROWHOUSE_BACKUP_KEYS and min(map(len, ROWHOUSE_BACKUP_KEYS)) < 32:
    raise ImproperlyConfigured("ROWHOUSE_BACKUP_KEYS: each must be 32 or more random characters.")
if IS_PRODUCTION and any(map(env.is_guessable, ROWHOUSE_BACKUP_KEYS)):
    raise ImproperlyConfigured(
        "ROWHOUSE_BACKUP_KEYS: one can be guessed. Make random characters: openssl rand -hex 32."
    )
if IS_PRODUCTION and {SECRET_KEY, *SECRET_KEY_FALLBACKS} & {*ROWHOUSE_BACKUP_KEYS}:
    raise ImproperlyConfigured(
        "ROWHOUSE_BACKUP_KEYS: one is the secret key. Whoever has a backup's key must not be able to sign sessions."
    )
ROWHOUSE_BACKUP_HOURS = env.integer(
    "ROWHOUSE_BACKUP_HOURS", 24, purpose="How often each tenant is backed up, in hours; 0: only on demand."
)
ROWHOUSE_BACKUP_KEEP_DAYS = env.integer(
    "ROWHOUSE_BACKUP_KEEP_DAYS",
    30,
    purpose="Stored backups older than so many days are removed, a tenant's newest good one never; 0: no "
    "limit.",
)
ROWHOUSE_FINAL_BACKUP_KEEP_DAYS = env.integer(
    "ROWHOUSE_FINAL_BACKUP_KEEP_DAYS",
    90,
    purpose="How long a deleted tenant's backups stay, in days.",
)
ROWHOUSE_DRILL_DAYS = env.integer(
    "ROWHOUSE_DRILL_DAYS",
    7,
    purpose="How often the newest backup of one tenant is restored on trial, in days; 0: never.",
)
ROWHOUSE_DELETE_GRACE_DAYS = env.integer(
    "ROWHOUSE_DELETE_GRACE_DAYS",
    30,
    purpose="How long a deleted tenant's data stays, and its deletion can be called off, in days.",
)

# ---- notices ---------------------------------------------------------------------------------------------

env.section("Notices")
ROWHOUSE_WEBHOOK_PRIVATE_HOSTS = env.words(
    "ROWHOUSE_WEBHOOK_PRIVATE_HOSTS",
    purpose="Hosts of the own network that tenants' webhooks may reach, also unencrypted.",
)
_EMAIL_HOST = env.text(
    "ROWHOUSE_EMAIL_HOST",
    purpose="The SMTP server; without one, development prints mails and production says on the "
    "notice's page that it has none.",
)
_EMAIL_SECURITY = env.choice(
    "ROWHOUSE_EMAIL_SECURITY",
    "starttls",
    purpose="`starttls`, `tls` (from the first byte, often port 465) or `none`.",
    choices=("starttls", "tls", "none"),
)
_EMAIL_OPTIONS: dict[str, Any] = {
    "port": env.integer("ROWHOUSE_EMAIL_PORT", 587, purpose="Port of the SMTP server.", minimum=1),
    "username": env.text("ROWHOUSE_EMAIL_USER", purpose="Whom the SMTP server knows us as."),
    "password": env.text("ROWHOUSE_EMAIL_PASSWORD", purpose="The password there.", secret=True),
}
DEFAULT_FROM_EMAIL = env.text("ROWHOUSE_EMAIL_FROM", "rowhouse@localhost", purpose="Who mails are from.")
MAILERS: dict[str, dict[str, Any]] = {}
if _EMAIL_HOST:
    MAILERS["default"] = {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": {
            **_EMAIL_OPTIONS,
            "host": _EMAIL_HOST,
            "use_tls": _EMAIL_SECURITY == "starttls",
            "use_ssl": _EMAIL_SECURITY == "tls",
            "timeout": 10,
        },
    }
elif not IS_PRODUCTION:  # where development shows them
    MAILERS["default"] = {"BACKEND": "django.core.mail.backends.console.EmailBackend"}

# ---- events ----------------------------------------------------------------------------------------------

env.section("Events")
ROWHOUSE_SYSLOG = env.text(
    "ROWHOUSE_SYSLOG",
    purpose="The syslog server that gets the platform's own events: `tls://host:6514`, or `tcp://host:601`.",
)
ROWHOUSE_SYSLOG_CA = env.text(
    "ROWHOUSE_SYSLOG_CA", purpose="A file of certificates to trust for it, besides those of the machine."
)
ROWHOUSE_STREAM_DAYS = env.integer(
    "ROWHOUSE_STREAM_DAYS",
    7,
    purpose="How many days a receiver of events may take none before sending to it is given up.",
    minimum=1,
)
ROWHOUSE_REVIEW_MONTHS = env.integer(
    "ROWHOUSE_REVIEW_MONTHS",
    6,
    purpose="After how many months a tenant's owners are reminded to review who may what; 0: never.",
    minimum=0,
)

# ---- words, times, logs ----------------------------------------------------------------------------------

env.section("Logs")
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "rowhouse.formats"
USE_TZ = True
TIME_ZONE = "UTC"
ROWHOUSE_LOG_JSON = env.boolean(
    "ROWHOUSE_LOG_JSON", IS_PRODUCTION, purpose="One JSON object per line.", shown="true in production"
)
LOGGING = logging.configure(
    level=env.text("ROWHOUSE_LOG_LEVEL", "INFO", purpose="`DEBUG`, `INFO`, `WARNING` or `ERROR`."),
    as_json=ROWHOUSE_LOG_JSON,
    most_alike=env.integer(
        "ROWHOUSE_LOG_ALIKE",
        30,
        purpose="How often in a minute one process writes the same warning or error; the rest is counted. 0: always.",
        minimum=0,
    ),
)
# The sentences are ours: simple-history's own commands do not know generated tables.
SIMPLE_HISTORY_REVERT_DISABLED = False

# ---- who watches -----------------------------------------------------------------------------------------

ROWHOUSE_METRICS_PORT = env.integer(
    "ROWHOUSE_METRICS_PORT",
    9100 if IS_PRODUCTION else 0,
    purpose="Port on which web and worker tell Prometheus their figures, in production 9100; 0: on none.",
)
ROWHOUSE_METRICS_SECONDS = env.integer(
    "ROWHOUSE_METRICS_SECONDS",
    15,
    purpose="How often at most a web pod reads the platform's figures from the database.",
    minimum=1,
)
ROWHOUSE_METRICS_TENANTS = env.integer(
    "ROWHOUSE_METRICS_TENANTS",
    10,
    purpose="How many tenants, the worst of each figure, have figures of their own; 0: none.",
)
ROWHOUSE_WEB_DRAIN_SECONDS = env.integer(
    "ROWHOUSE_WEB_DRAIN_SECONDS",
    5 if IS_PRODUCTION else 0,
    purpose="Seconds the web goes on answering, not ready any more, before it ends as SIGTERM said; in production 5.",
)
ROWHOUSE_OTEL_ENDPOINT = env.text(
    "ROWHOUSE_OTEL_ENDPOINT", purpose="URL of an OpenTelemetry collector (OTLP over HTTP); none: no traces."
)
ROWHOUSE_OTEL_SAMPLE_PERCENT = env.integer(
    "ROWHOUSE_OTEL_SAMPLE_PERCENT", 10, purpose="Share of requests and slices that are traced, in percent."
)
ROWHOUSE_SENTRY_DSN = env.text(
    "ROWHOUSE_SENTRY_DSN",
    purpose="Where errors are reported to, a DSN of Sentry; none: to nobody.",
    secret=True,
)

# ---- the two admin sites ---------------------------------------------------------------------------------

_LOOK: dict[str, Any] = {
    "SITE_SYMBOL": "table_rows",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    # Its colours too come from a file (accounts.sites.RowhouseSite): no page holds styles of its own.
    "STYLES": [
        lambda _request: static("rowhouse/colors.css"),
        lambda _request: static("rowhouse/rowhouse.css"),
    ],
    "SCRIPTS": [lambda _request: static("rowhouse/strict.js")],
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "sizes": "any",
            "type": "image/svg+xml",
            "href": lambda _request: static("rowhouse/icon.svg"),
        }
    ],
}
UNFOLD = {
    **_LOOK,
    "SITE_TITLE": "rowhouse.navigation.tenant_title",
    "SITE_HEADER": "rowhouse.navigation.tenant_title",
    "SITE_SUBHEADER": "Rowhouse",
    "ENVIRONMENT": "rowhouse.navigation.tenant_banner",
    "DASHBOARD_CALLBACK": "rowhouse.dashboard.tenant_dashboard",
    "SIDEBAR": {"show_search": True, "navigation": "rowhouse.navigation.tenant_sidebar"},
    "ACCOUNT": {"navigation": [{"title": "Your sign-in", "link": reverse_lazy("accounts_sign_in")}]},
    "COMMAND": {"search_models": False},
}
UNFOLD_OPERATOR = {
    **_LOOK,
    "SITE_TITLE": "Rowhouse operators",
    "SHOW_HISTORY": False,
    "SITE_HEADER": "Rowhouse",
    "SITE_SUBHEADER": "Operators",
    "DASHBOARD_CALLBACK": "rowhouse.dashboard.operator_dashboard",
    "SIDEBAR": {"show_search": False, "navigation": "rowhouse.navigation.operator_sidebar"},
    "COMMAND": {"search_models": False},
    "LOGIN": {"redirect_after": reverse_lazy("operator:index", urlconf="rowhouse.urls_public")},
}
