"""What a session is set to before texts of values are asked for. Pure: no Django, no storage, no clock."""

from __future__ import annotations

# What a session or a server could be configured to, and what a text of a value depends on.
FIXED_SETTINGS = (
    "SET LOCAL client_encoding = 'UTF8'",
    "SET LOCAL DateStyle = 'ISO, YMD'",
    "SET LOCAL IntervalStyle = 'iso_8601'",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
)
