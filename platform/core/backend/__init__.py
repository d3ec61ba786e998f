"""Our database backend: django-tenants', with `public` kept out of every tenant's search path."""
