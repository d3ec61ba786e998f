"""The main job on real files, from nothing: what `rowhouse demo` does."""
