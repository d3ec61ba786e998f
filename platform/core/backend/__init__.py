"""Our PostgreSQL backend: every statement carries its tenant's schema and role."""
