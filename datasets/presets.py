"""Sets of rights with a name, granted on one dataset at once. Pure."""

from __future__ import annotations

from collections.abc import Collection

PRESETS: dict[str, frozenset[str]] = {
    "owner": frozenset({"view", "add", "change", "delete", "import", "export", "manage"}),
    "editor": frozenset({"view", "add", "change", "delete", "import", "export"}),
    "importer": frozenset({"view", "add", "change", "import"}),
    "exporter": frozenset({"view", "export"}),
    "viewer": frozenset({"view"}),
}


def preset_of(rights: Collection[str]) -> str:
    """Return the name of the preset with exactly these rights, or an empty text.

    >>> preset_of({"view", "export"}), preset_of({"export"})
    ('exporter', '')
    """
    return next((name for name, held in PRESETS.items() if held == frozenset(rights)), "")
