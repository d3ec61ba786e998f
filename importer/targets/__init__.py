"""Imports into plain Django models: the same files, states and pages, with a serializer as the judge of a row."""
