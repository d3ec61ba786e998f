"""A small Django project that holds the same rows by other libraries' means."""
