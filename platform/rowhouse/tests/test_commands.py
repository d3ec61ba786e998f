from __future__ import annotations

from pathlib import Path

from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[3]


def test_each_of_our_commands_is_the_one_that_runs():
    ours = {file.stem for file in ROOT.glob("**/management/commands/*.py") if ".venv" not in file.parts} - {
        "__init__"
    }
    libraries = {"django_tenants", "django_q", "guardian", "simple_history", "django.core"}
    assert {name: app for name, app in get_commands().items() if name in ours and app in libraries} == {}
