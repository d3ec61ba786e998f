"""Who signs in: users in each tenant's own schema, operators in `public`."""
