"""Every file in helm/rowhouse/ci: linted strictly, rendered, against Kubernetes' schemas, and for what it means."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from helm_python import Chart, lint, package

from tests.helm.engine import CHART, CI, OLDEST, OUTSIDE, faults, rendered, texts, values_of, versions
from tests.helm.meaning import problems
from tests.helm.objects import hooks, name_of
from tests.source import ROOT

EVERY_WAY = pytest.mark.parametrize("name", CI)
SNAPSHOTS = Path(__file__).parent / "snapshots"


def test_there_is_a_file_for_each_way_to_run_it():
    assert set(CI) == {
        "cnpg",
        "full",
        "hpa",
        "httproute",
        "keda",
        "minimal",
        "no-network-policy",
        "s3-identity",
    }


@EVERY_WAY
@pytest.mark.parametrize("version", [OLDEST, versions()[-1]])
def test_helm_has_nothing_against_it(name: str, version: str):
    report = lint(CHART, values_of(name), strict=True, kube_version=f"v{version}.0")
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] > 1] == []


@EVERY_WAY
def test_every_release_of_kubernetes_takes_what_it_renders(name: str):
    found = rendered(values_of(name))
    said = [(v, name_of(each), faults(each, v)) for v in versions() for each in found if faults(each, v)]
    assert said == []


@EVERY_WAY
@pytest.mark.parametrize("upgrade", [False, True], ids=["install", "upgrade"])
def test_what_it_renders_fits_together(name: str, upgrade: bool):
    objects = rendered(values_of(name), upgrade=upgrade, revision=2 if upgrade else 1)
    assert problems(objects, OUTSIDE) == []


@EVERY_WAY
def test_it_renders_the_objects_it_did(name: str):
    """ROWHOUSE_SNAPSHOTS=write writes them anew, for a person to look through."""
    lines = [
        f"{name_of(each)}{' by ' + ','.join(sorted(hooks(each))) if hooks(each) else ''}"
        for each in rendered(values_of(name))
    ]
    text = "\n".join(sorted(lines)) + "\n"
    if os.environ.get("ROWHOUSE_SNAPSHOTS") == "write":
        (SNAPSHOTS / f"{name}.txt").write_text(text, encoding="utf-8")
    assert text == (SNAPSHOTS / f"{name}.txt").read_text(encoding="utf-8")


def test_schemas_reach_from_the_oldest_release_it_takes_to_a_new_one():
    declared = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["kubeVersion"]
    assert declared == f">={OLDEST}.0-0"
    assert versions()[0] == OLDEST
    assert len(versions()) >= 5


def test_the_chart_is_of_the_release_it_installs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == project["version"]
    assert f"rowhouse:{project['version']}" in chart["annotations"]["artifacthub.io/images"]


def test_artifact_hub_can_read_the_annotations():
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["annotations"]
    lists = ("artifacthub.io/links", "artifacthub.io/images", "artifacthub.io/changes")
    assert all(isinstance(yaml.safe_load(annotations[name]), list) for name in lists)
    assert {each["kind"] for each in yaml.safe_load(annotations["artifacthub.io/changes"])} <= {
        "added",
        "changed",
        "deprecated",
        "removed",
        "fixed",
        "security",
    }


def test_the_package_renders_as_the_folder_does_and_holds_no_test_values(tmp_path: Path):
    archive = package(CHART, destination=tmp_path)
    with Chart.load(archive) as packed:
        assert [each["name"] for each in packed.files if each["name"].startswith("ci/")] == []
        there = {each["name"] for each in packed.files}
        assert {
            "README.md",
            "files/alerts.yaml",
            "files/dashboard.json",
            "examples/cloudnative-pg.yaml",
        } <= there
        again = packed.render(
            values_of("full"), name="rowhouse", namespace="rowhouse", revision=1, is_install=True
        )
    assert again == texts(values_of("full"))


@EVERY_WAY
def test_the_notes_name_objects_that_are_there(name: str):
    notes = texts(values_of(name))["rowhouse/templates/NOTES.txt"]
    there = {name_of(each).lower() for each in rendered(values_of(name))}
    named = {each.replace("deploy/", "deployment/") for each in re.findall(r"(?:deploy|job)/[\w-]+", notes)}
    assert named and named <= there


def test_the_notes_say_when_backups_are_not_encrypted():
    assert "NOT encrypted" in texts(values_of("no-network-policy"))["rowhouse/templates/NOTES.txt"]
    assert "NOT encrypted" not in texts(values_of("minimal"))["rowhouse/templates/NOTES.txt"]


def test_the_database_of_the_example_has_the_structure_its_operator_takes():
    cluster = yaml.safe_load((CHART / "examples" / "cloudnative-pg.yaml").read_text(encoding="utf-8"))
    assert faults(cluster, versions()[-1]) == []
    name, values = cluster["metadata"]["name"], values_of("cnpg")
    assert values["database"] == {
        "existingSecret": f"{name}-app",
        "urlKey": "uri",
    }  # the operator's own names


def test_the_database_of_the_example_is_told_what_ours_must_be_told():
    from core.backend.roles import HARDENING  # noqa: PLC0415 -- after the settings

    cluster = yaml.safe_load((CHART / "examples" / "cloudnative-pg.yaml").read_text(encoding="utf-8"))
    first = cluster["spec"]["bootstrap"]["initdb"]
    wanted = ["ALTER ROLE {role} CREATEROLE", *HARDENING]
    assert first["postInitApplicationSQL"] == [each.format(role=first["owner"]) for each in wanted]


def test_a_pod_starts_anew_when_a_setting_or_a_secrets_revision_changes():
    def marks(values):
        return {
            name_of(each): each["spec"]["template"]["metadata"]["annotations"]
            for each in rendered(values)
            if each["kind"] == "Deployment"
        }

    before = marks(values_of("minimal"))
    setting = marks({**values_of("minimal"), "config": {"ROWHOUSE_LOG_LEVEL": "DEBUG"}})
    secret = marks({**values_of("minimal"), "secrets": {**values_of("minimal")["secrets"], "revision": "2"}})
    assert marks(values_of("minimal")) == before
    for name, marked in before.items():
        assert marked["checksum/config"] != setting[name]["checksum/config"]
        assert marked["checksum/secrets"] != secret[name]["checksum/secrets"]


def test_numbers_reach_the_code_as_they_were_written():
    values = values_of("minimal") | {
        "config": {"ROWHOUSE_EXPORT_KEEP_COUNT": 12345678, "ROWHOUSE_LOG_JSON": False}
    }
    config = next(each for each in rendered(values) if name_of(each) == "ConfigMap/rowhouse")
    assert config["data"]["ROWHOUSE_EXPORT_KEEP_COUNT"] == "12345678"
    assert config["data"]["ROWHOUSE_LOG_JSON"] == "false"


def test_only_the_web_goes_through_the_pooler():
    addresses = {
        name_of(each): each["spec"]["template"]["spec"]["containers"][0]["env"][0]["valueFrom"][
            "secretKeyRef"
        ]["name"]
        for each in rendered(values_of("full"))
        if each["kind"] in {"Deployment", "Job"}
    }
    assert addresses == {
        "Deployment/rows-web": "rowhouse-pooler",
        "Deployment/rows-worker": "rowhouse-database",
        "Job/rows-migrate-1": "rowhouse-database",
    }


def test_alerts_and_dashboard_come_from_the_files_as_they_are():
    found = {name_of(each): each for each in rendered(values_of("full"))}
    alerts = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))
    assert found["PrometheusRule/rows"]["spec"] == alerts
    shown = found["ConfigMap/rows-dashboard"]["data"]["rowhouse.json"]
    assert shown.strip() == (CHART / "files" / "dashboard.json").read_text(encoding="utf-8").strip()


def test_extra_objects_are_templates():
    notes = next(each for each in rendered(values_of("full")) if name_of(each) == "ConfigMap/rows-notes")
    assert notes["data"] == {"domain": "rowhouse.example.com"}


def test_private_networks_stay_out_of_reach_where_the_bucket_is_amazons():
    """Of a policy that allows anywhere at 443, what it excepts beside would mean nothing."""

    def anywhere(name):
        work = next(each for each in rendered(values_of(name)) if name_of(each).endswith("-work"))
        return [
            port["port"]
            for rule in work["spec"]["egress"]
            for port in rule["ports"]
            if "to" not in rule and port["port"] != 53
        ]

    assert anywhere("s3-identity") == [5432]
    assert anywhere("full") == []
