"""The review of access: who may what in a tenant and since when, what stands out, and that somebody has looked."""
