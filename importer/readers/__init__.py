"""Readers: from the bytes of a file to records. Pure: no Django, no storage, no clock."""
