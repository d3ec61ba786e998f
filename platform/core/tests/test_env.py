from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from core import env


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(env, "REGISTRY", {})


def test_a_bad_value_names_its_variable(monkeypatch):
    monkeypatch.setenv("ROWHOUSE_DEBUG", "perhaps")
    with pytest.raises(ImproperlyConfigured, match="ROWHOUSE_DEBUG: 'perhaps'"):
        env.boolean("ROWHOUSE_DEBUG", False, purpose="")


def test_a_number_below_its_least_names_its_variable(monkeypatch):
    monkeypatch.setenv("ROWHOUSE_WORKERS", "0")
    with pytest.raises(ImproperlyConfigured, match="ROWHOUSE_WORKERS: 0 is less than 1"):
        env.integer("ROWHOUSE_WORKERS", 2, purpose="", minimum=1)


def test_a_secret_may_lie_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("from the file\n")
    monkeypatch.setenv("ROWHOUSE_SECRET_KEY_FILE", str(tmp_path / "key"))
    assert env.text("ROWHOUSE_SECRET_KEY", purpose="") == "from the file"


@pytest.mark.case("A18")
@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "ROWHOUSE_SECRET_KEY"),
        ({"ROWHOUSE_SECRET_KEY": "short"}, "ROWHOUSE_SECRET_KEY"),
        ({"ROWHOUSE_SECRET_KEY": "a" * 60}, "ROWHOUSE_SECRET_KEY"),
        ({"ROWHOUSE_SECRET_KEY": "0123456789" * 6, "ROWHOUSE_DEBUG": "true"}, "ROWHOUSE_DEBUG"),
        ({"ROWHOUSE_SECRET_KEY": "0123456789" * 6, "DATABASE_URL": ""}, "DATABASE_URL"),
    ],
)
def test_production_refuses_weak_settings_by_name(variables, named):
    done = subprocess.run(
        [sys.executable, "-m", "rowhouse", "check"],
        env={
            **os.environ,
            "ROWHOUSE_PRODUCTION": "true",
            "DATABASE_URL": "postgresql://nobody@nowhere/x",
            **variables,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert named in done.stderr
