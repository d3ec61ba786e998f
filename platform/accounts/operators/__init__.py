"""The people who run the platform; their rows lie in `public`, where no tenant's code reaches."""
