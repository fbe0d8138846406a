"""All settings, from the environment only. Without one, the embedded stack of the data directory is used."""

import os
import secrets
import sys
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from orchestrator.server import environment as env
from orchestrator.server import logs

BASE_DIR = env.BASE_DIR
DATA_DIR = env.data_dir()
STACK = env.running_stack()

# ── Who we are ───────────────────────────────────────────────────────────────────────────────────
DEBUG = env.boolean("DEBUG")
_given_key = env.text("SECRET_KEY") or STACK.get("SECRET_KEY")
SECRET_KEY_IS_GIVEN = bool(_given_key)
SECRET_KEY = _given_key or secrets.token_urlsafe(50)
PUBLIC_URL = (env.text("PUBLIC_URL") or STACK.get("PUBLIC_URL") or "http://127.0.0.1:8000").rstrip("/")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
SECURE = PUBLIC_URL.startswith("https://")
ON_LOOPBACK = urlsplit(PUBLIC_URL).hostname in {"127.0.0.1", "localhost", "::1"}
PROXY_HOPS = int(env.number("PROXY_HOPS", 0))  # proxies of ours that append to X-Forwarded-For
# Seal secrets at rest, newest first. See tenants/master_keys.py.
MASTER_KEYS = env.text("MASTER_KEYS") or STACK.get("MASTER_KEYS", "")
KEY_SECONDS = env.number("KEY_SECONDS", 300)
VAULT_NAMESPACE = env.text("VAULT_NAMESPACE")
VAULT_TOKEN_FILE = os.environ.get("VAULT_TOKEN_FILE", "")  # Read at each call: who renews the token writes it.
VAULT_TOKEN = env.text("VAULT_TOKEN")
# May requests that tenants ask for (webhooks, log-in providers) reach private addresses?
OUTBOUND_PRIVATE = env.boolean("OUTBOUND_PRIVATE", ON_LOOPBACK)
# Who is asked whether a domain is an organization's, `address:port`; empty: the machine's own resolver.
DNS_SERVER = env.text("DNS_SERVER")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
ROOT_URLCONF = "orchestrator.server.urls"
WSGI_APPLICATION = None
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "rest_framework",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.github",
    "allauth.socialaccount.providers.microsoft",
    "orchestrator.server",
    "tenants",
    "blocks",
    "runs",
]

MIDDLEWARE = [
    "orchestrator.server.logs.RequestId",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# What the API has of them: it knows no cookies, and half of its time would go into what pages need.
API_MIDDLEWARE = [
    "orchestrator.server.logs.RequestId",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "runs.usage.api_calls.CountCalls",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "tenants.navigation.navigation",
            ],
            "builtins": ["django.templatetags.static", "orchestrator.server.templatetags.ui"],
        },
    }
]

# ── Stores ───────────────────────────────────────────────────────────────────────────────────────
# A process logs in as one of three: `web` may become `app` only, `worker` may become `app` and `system`, `owner`
# migrates. Serving processes start every connection as `app`, the role that row-level security binds.
OWNER_COMMANDS = {"migrate", "makemigrations", "sqlmigrate", "showmigrations", "dbshell"}
DATABASE_LOGIN = env.text("ORCHESTRATOR_DATABASE_LOGIN") or (
    "owner" if len(sys.argv) > 1 and sys.argv[1] in OWNER_COMMANDS else "worker"
)
_URL_NAMES = {"web": "DATABASE_URL", "worker": "DATABASE_WORKER_URL", "owner": "DATABASE_OWNER_URL"}
_URL_NAME = _URL_NAMES[DATABASE_LOGIN]
DATABASES = {
    "default": env.database(
        env.text(_URL_NAME) or STACK.get(_URL_NAME) or "postgresql://127.0.0.1/orchestrator",
        role=None if DATABASE_LOGIN == "owner" else "app",
        statement_timeout=0 if DATABASE_LOGIN == "owner" else env.number("STATEMENT_TIMEOUT", 30),
    )
}
# The staff's admin reads what all tenants have, as the login `web` can't: by a connection of the worker's login that
# is opened for its pages alone. A process that has no address for it serves no staff.
STAFF_DATABASE = "default" if DATABASE_LOGIN == "worker" else ""
_worker_url = env.text("DATABASE_WORKER_URL") or STACK.get("DATABASE_WORKER_URL")
if DATABASE_LOGIN == "web" and _worker_url:
    STAFF_DATABASE = "staff"
    DATABASES["staff"] = {
        **env.database(_worker_url, role="app", statement_timeout=env.number("STATEMENT_TIMEOUT", 30)),
        "CONN_MAX_AGE": 0,
    }
# For the tick that makes and drops partitions.
DATABASE_OWNER_URL = env.text("DATABASE_OWNER_URL") or STACK.get("DATABASE_OWNER_URL", "")
REDIS_URL = env.text("REDIS_URL") or STACK.get("REDIS_URL") or "redis://127.0.0.1:6379/0"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# ── Celery: ticks on a queue of their own, ids as arguments, results ignored ─────────────────────
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "work"
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"

# ── Mail: smtp://, smtp+tls:// (STARTTLS) or smtps://, with user and password; without one, mails are printed ─────
EMAIL_URL = env.text("EMAIL_URL")
MAIL_CONFIGURED = bool(EMAIL_URL)
globals().update(env.mail(EMAIL_URL))
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("EMAIL_FROM") or f"Orchestrator <no-reply@{urlsplit(PUBLIC_URL).hostname}>"

# ── People ───────────────────────────────────────────────────────────────────────────────────────
AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_FORMS = {"signup": "tenants.signup.SignUpForm"}
ACCOUNT_SIGNUP_FORM_HONEYPOT_FIELD = "fax"
SIGNUP_OPEN = env.boolean("SIGNUP_OPEN", True)
# Where no mail leaves, nobody could confirm an address.
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if MAIL_CONFIGURED else "none"
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = MAIL_CONFIGURED
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_RATE_LIMITS = {"signup": "10/m/ip,100/d/ip", "reset_password": "20/m/ip,3/m/key,20/d/key"}
MFA_ADAPTER = "tenants.accounts.SecondFactorAdapter"
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = True
# The staff's admin asks for a second factor.
REQUIRE_STAFF_SECOND_FACTOR = env.boolean("REQUIRE_STAFF_SECOND_FACTOR", not ON_LOOPBACK)
MFA_ALLOW_UNVERIFIED_EMAIL = not MAIL_CONFIGURED
# Providers by which people log in, each as soon as it has an id here. Their callback is /social/<name>/login/callback/.
SOCIALACCOUNT_ADAPTER = "tenants.accounts.SocialAdapter"
SOCIALACCOUNT_FORMS = {"signup": "tenants.signup.SocialSignUpForm"}
SOCIALACCOUNT_PROVIDERS = env.social_providers(
    google=(env.text("GOOGLE_CLIENT_ID"), env.text("GOOGLE_CLIENT_SECRET"), {}),
    github=(env.text("GITHUB_CLIENT_ID"), env.text("GITHUB_CLIENT_SECRET"), {}),
    microsoft=(
        env.text("MICROSOFT_CLIENT_ID"),
        env.text("MICROSOFT_CLIENT_SECRET"),
        {"tenant": env.text("MICROSOFT_TENANT", "common")},
    ),
)
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_ADAPTER = "tenants.accounts.AccountAdapter"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/login/"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "orchestrator_session"
CSRF_COOKIE_NAME = "orchestrator_csrf"
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Whose images pages may show: hosts, `*.` for all below one. A browser that loads one tells its address to the host.
IMAGE_HOSTS = env.hosts("IMAGE_HOSTS")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:", *(f"https://{host}" for host in IMAGE_HOSTS)],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'", *(env.SOCIAL_HOSTS[name] for name in SOCIALACCOUNT_PROVIDERS)],
        "frame-ancestors": ["'none'"],
    }
}

# ── API ──────────────────────────────────────────────────────────────────────────────────────────
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.permissions.VerbPermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "tenants.errors.api_error",
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "orchestrator.server.openapi.Described",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Orchestrator",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": "Workflows as plain Python functions: what programs ask of the platform. Guide: docs/api.md.",
    "DEFAULT_GENERATOR_CLASS": "orchestrator.server.openapi.Generator",
    "SERVERS": [{"url": PUBLIC_URL}],
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer", "description": "A key of one workspace: `orc_…`."},
        },
    },
    "POSTPROCESSING_HOOKS": [],
}

# ── Runs: how long a holder may be silent (seconds) ──────────────────────────────────────────────
LEASE_SECONDS = env.number("LEASE_SECONDS", 60)
LOST_AFTER_AGENT_SECONDS = env.number("LOST_AFTER_AGENT_SECONDS", 600)
LOST_AFTER_LOCAL_SECONDS = env.number("LOST_AFTER_LOCAL_SECONDS", 86_400)
TICK_SECONDS = env.number("TICK_SECONDS", 1)

# ── Journals: how much one organization may send to one web process (bytes, unpacked) ────────────
JOURNAL_BYTES_PER_SECOND = env.number("JOURNAL_BYTES_PER_SECOND", 4 << 20)
JOURNAL_BURST_BYTES = env.number("JOURNAL_BURST_BYTES", 512 << 20)

# ── Background tasks: how many of one organization may wait ──────────────────────────────────────
BACKGROUND_QUEUE = int(env.number("BACKGROUND_QUEUE", 100_000))

# ── Bulk operations: how many runs one may hit, how many one organization has at once, and for how many seconds one can
# be undone before it begins
BULK_RUNS = int(env.number("BULK_RUNS", 10_000))
BULK_AT_ONCE = int(env.number("BULK_AT_ONCE", 5))
BULK_DELAY = env.number("BULK_DELAY", 10)

# ── Backfills: how many runs one may have, and how many of one organization are open ─────────────
BACKFILL_RUNS = int(env.number("BACKFILL_RUNS", 10_000))
BACKFILLS_OPEN = int(env.number("BACKFILLS_OPEN", 100))

# ── Exports: the largest zip of an organization that is kept (bytes) ─────────────────────────────
EXPORT_MAX_BYTES = int(env.number("EXPORT_MAX_BYTES", 10 << 30))

# ── Money: off, nobody has a limit of ours and nothing is owed ───────────────────────────────────
BILLING = env.boolean("BILLING")
AUDIT_DAYS = env.number("AUDIT_DAYS", 400)  # for how long audit entries are kept; 0: for ever
if 0 < AUDIT_DAYS < 30:
    raise ImproperlyConfigured("AUDIT_DAYS is 30 or more, or 0 to keep audit entries for ever.")
FREE_TASK_RUNS = int(env.number("FREE_TASK_RUNS", 20_000))
PAYMENT_PROVIDER = env.text("PAYMENT_PROVIDER", "tenants.billing.by_hand")
INVOICE_ISSUER = env.text("INVOICE_ISSUER", "Orchestrator")

# A body as large as the bridge lets through; views bound what they take.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 << 20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000  # A form of 3,000 fields, each with what stands beside it.

# ── Words, time, files ───────────────────────────────────────────────────────────────────────────
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_THOUSAND_SEPARATOR = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": DATA_DIR / "files"}},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

LOGGING = logs.configuration(level=env.text("LOG_LEVEL", "WARNING"), form=env.text("LOG_FORMAT", "text"))
