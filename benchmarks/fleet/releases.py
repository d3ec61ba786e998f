"""Folders with the code of a release: of an earlier one from the history, or of this one with something planted."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("platform", "tenants", "datasets", "importer", "exporter", "audit")
LIST = ROOT / "deploy" / "releases.toml"


class NoHistory(Exception):
    """The release's commit is not in this repository, as in a shallow clone or a source archive."""


@dataclass(frozen=True, slots=True)
class Release:
    """Code in a folder of its own. Nothing of it is installed: processes find it by their path."""

    name: str
    folder: Path

    def path(self) -> str:
        """Return PYTHONPATH for processes of this code; it comes before whatever is installed."""
        return os.pathsep.join([str(self.folder / "platform"), str(self.folder)])


def present() -> Release:
    """Return the code as it stands here."""
    return Release("present", ROOT)


def last_release() -> str:
    """Return the name of the newest release on the list."""
    return list(_listed())[-1]


def released(name: str, to: Path) -> Release:
    """Extract a release's code from the history into an empty folder.

    :raises NoHistory: its commit is not here.
    """
    commit = _listed()[name]
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        raise NoHistory("there is no git history here")
    archive = subprocess.run(
        [git, "-C", str(ROOT), "archive", commit, *FOLDERS], capture_output=True, check=False
    )
    if archive.returncode:
        raise NoHistory(f"{commit[:12]} is not in the history that is here")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(to, filter="data")
    return Release(name, to)


def copied(to: Path, name: str = "copy") -> Release:
    """Copy the code as it stands here, without its tests."""
    for folder in FOLDERS:
        shutil.copytree(
            ROOT / folder, to / folder, ignore=shutil.ignore_patterns("tests", "__pycache__", "*.png")
        )
    return Release(name, to)


def python() -> str:
    """Return the interpreter that processes of any release run with: they share what is installed."""
    return sys.executable


def _listed() -> dict[str, str]:
    return dict(tomllib.loads(LIST.read_text(encoding="utf-8"))["releases"])
