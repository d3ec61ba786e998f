"""Sign-in by the provider of a tenant: its own OpenID Connect server, which says who somebody is."""
