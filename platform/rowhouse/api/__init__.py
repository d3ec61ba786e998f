"""The HTTP API of a tenant: what its people's programs can do, by the services the pages use.

Nothing is decided here: rights are those of the token's person at this moment (`datasets.access`, `importer.rights`,
`exporter.services`), and the token's scopes and datasets narrow them.
"""
