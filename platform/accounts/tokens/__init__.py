"""Tokens by which programs of a tenant's people ask its HTTP API."""
