"""Tenants: who they are, where they are reached, how they come and go."""
