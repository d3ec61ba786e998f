"""How times are written, by language; Django looks here first."""
