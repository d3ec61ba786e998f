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
    monkeypatch.setattr(env, "_section", "")


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


def test_every_kind_may_lie_in_a_file_and_lists_there_in_lines(monkeypatch, tmp_path):
    for name, content in (("N", "7\n"), ("B", " yes\n"), ("C", "b\n"), ("L", "one\ntwo, three\n\n")):
        (tmp_path / name).write_text(content)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    assert env.integer("N", 1, purpose="") == 7
    assert env.boolean("B", False, purpose="") is True
    assert env.choice("C", "a", purpose="", choices=("a", "b")) == "b"
    assert env.words("L", purpose="") == ["one", "two", "three"]


def test_a_file_that_is_not_there_names_its_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("ROWHOUSE_SECRET_KEY_FILE", str(tmp_path / "gone"))
    with pytest.raises(ImproperlyConfigured, match="ROWHOUSE_SECRET_KEY_FILE: .* cannot be read"):
        env.text("ROWHOUSE_SECRET_KEY", purpose="")


def test_a_file_without_text_names_its_variable_and_shows_nothing_of_it(monkeypatch, tmp_path):
    (tmp_path / "key").write_bytes(b"\xff\xfe secret")
    monkeypatch.setenv("ROWHOUSE_SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(
        ImproperlyConfigured, match="ROWHOUSE_SECRET_KEY_FILE: .* holds no UTF-8 text"
    ) as refused:
        env.text("ROWHOUSE_SECRET_KEY", purpose="")
    assert "secret" not in str(refused.value)


def test_a_variable_and_its_file_at_once_are_refused(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("from the file")
    monkeypatch.setenv("ROWHOUSE_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("ROWHOUSE_SECRET_KEY", "from the variable")
    with pytest.raises(
        ImproperlyConfigured, match="ROWHOUSE_SECRET_KEY and ROWHOUSE_SECRET_KEY_FILE are both set"
    ):
        env.text("ROWHOUSE_SECRET_KEY", purpose="")


def test_what_is_read_is_registered_under_its_section_with_the_default_in_words():
    env.section("Place")
    env.text("A", "/somewhere/else", purpose="Where.", shown="here")
    env.words("B", purpose="Keys.", secret=True)
    assert list(env.REGISTRY.values()) == [
        env.Variable("A", "here", "Where.", "Place", is_secret=False),
        env.Variable("B", "", "Keys.", "Place", is_secret=True),
    ]


def test_a_production_installation_reads_its_secrets_from_files(tmp_path):
    secrets = {
        "ROWHOUSE_SECRET_KEY": "0123456789abcdefghij" * 3,
        "DATABASE_URL": "postgresql://somebody@nowhere/x",
        "ROWHOUSE_BACKUP_KEYS": "first-key-of-more-than-32-characters-1\nsecond-key-of-more-than-32-characters\n",
    }
    files = {}
    for name, content in secrets.items():
        (tmp_path / name).write_text(content)
        files[f"{name}_FILE"] = str(tmp_path / name)
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from rowhouse import settings as s; print(s.SECRET_KEY, s.DATABASES['default']['HOST'],"
            " len(s.ROWHOUSE_BACKUP_KEYS))",
        ],
        env={
            **{name: value for name, value in os.environ.items() if name not in secrets},
            "ROWHOUSE_PRODUCTION": "true",
            **files,
        },
        capture_output=True,
        text=True,
    )
    assert told.stdout.split() == [secrets["ROWHOUSE_SECRET_KEY"], "nowhere", "2"], told.stderr


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
