"""What gunicorn serves."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from core.checks import require_safe
from rowhouse.proxies import behind_proxies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rowhouse.settings")
application = behind_proxies(get_wsgi_application(), settings.ROWHOUSE_PROXIES)
require_safe()
