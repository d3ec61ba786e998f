"""Values that make no sense are refused, and the sentence names the key."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

import pytest
import yaml
from helm_python import HelmRenderError, HelmValuesError

from tests.helm.engine import CHART, texts, values_of
from tests.helm.settings import (
    BY_THE_CHART,
    FOREIGN_SECRETS,
    NAMED_SECRETS,
    by_config,
    called_secret,
    known,
    secrets,
)
from tests.helm.writing import Value, described_values, table, written
from tests.source import ROOT

RENAMED: dict[str, str] = yaml.safe_load((CHART / "files" / "renamed.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

# A value below a path, and the word the refusal must hold.
REFUSED_BY_THE_SCHEMA: list[tuple[str, Any, str]] = [
    ("replicas", 3, "replicas"),
    ("web.replica", 3, "replica"),
    ("web.replicas", "three", "replicas"),
    ("web.replicas", 0, "replicas"),
    ("web.port", 80, "port"),
    ("web.resources.requests.memory", "1 GB", "memory"),
    ("web.resources.request", {}, "request"),
    ("web.probes.readiness.path", "/", "path"),
    ("web.autoscaling.targetCPU", 70, "targetCPU"),
    ("web.tolerations", [{"keys": "x"}], "keys"),
    ("worker.keda.minReplicas", 0, "minReplicas"),
    ("worker.probes.readiness", {"periodSeconds": 5}, "readiness"),
    ("image.pullPolicy", "Sometimes", "pullPolicy"),
    ("image.digest", "sha256:12", "digest"),
    ("hosts.baseDomain", "https://rowhouse.example.com", "baseDomain"),
    ("hosts.custom", ["*.acme.example"], "custom"),
    ("secrets.secretKey", "hunter2", "secretKey"),
    ("secrets.keys.ROWHOUSE_SECRET", "secret-key", "ROWHOUSE_SECRET"),
    ("database.url", "postgresql://rowhouse:secret@db/rowhouse", "url"),
    ("storage.s3.addressing", "dns", "addressing"),
    ("storage.s3.secretKey", "hunter2", "secretKey"),
    ("config.ROWHOUSE_UPLOAD_MAX", 1, "ROWHOUSE_UPLOAD_MAX"),
    ("config.ROWHOUSE_UPLOAD_MAX_MB", "1024", "ROWHOUSE_UPLOAD_MAX_MB"),
    ("config.ROWHOUSE_UPLOAD_MAX_MB", 0, "ROWHOUSE_UPLOAD_MAX_MB"),
    ("config.ROWHOUSE_LOG_JSON", "yes", "ROWHOUSE_LOG_JSON"),
    ("config.ROWHOUSE_EMAIL_SECURITY", "ssl", "ROWHOUSE_EMAIL_SECURITY"),
    ("config.ROWHOUSE_SECRET_KEY", "hunter2", "ROWHOUSE_SECRET_KEY"),
    ("config.ROWHOUSE_BASE_DOMAIN", "example.com", "ROWHOUSE_BASE_DOMAIN"),
    ("config.ROWHOUSE_DEBUG", True, "ROWHOUSE_DEBUG"),
    ("migrate.backofflimit", 1, "backofflimit"),
    ("cronJobs.vacuum", {"enabled": True}, "vacuum"),
    ("cronJobs.backup.schedule", "daily", "schedule"),
    ("cronJobs.backup.command", ["sh"], "command"),
    ("cronJobs.auditAnchor.enabled", "yes", "auditAnchor"),
    ("ingress.host", "x.example.com", "host"),
    ("httpRoute.parentRefs", [{"namespace": "gateways"}], "name"),
    ("certificate.issuer.kind", "Vault", "kind"),
    ("metrics.serviceMonitor.interval", "often", "interval"),
    ("networkPolicy.ingress.from", [{"namespace": "ingress"}], "namespace"),
    ("networkPolicy.egress.database.ports", ["5432"], "ports"),
    ("networkPolicy.egress.internet.except", ["10.0.0.0"], "except"),
    ("security.runAsUser", 0, "runAsUser"),
    ("security.privileged", True, "privileged"),
    ("topologySpread.whenUnsatisfiable", "Maybe", "whenUnsatisfiable"),
    ("extraEnv", [{"name": "A", "valu": "b"}], "valu"),
    ("extraVolumes", [{"name": "docker", "hostPath": {"path": "/"}}], "hostPath"),
    ("extraObjects", [{"kind": "ConfigMap"}], "apiVersion"),
]
REFUSED_BY_THE_CHART: list[tuple[dict[str, Any], str]] = [
    ({"hosts.baseDomain": ""}, "hosts.baseDomain"),
    ({"secrets.existingSecret": ""}, "secrets.existingSecret"),
    ({"secrets.keys.ROWHOUSE_SECRET_KEY": ""}, "secrets.keys.ROWHOUSE_SECRET_KEY"),
    ({"database.existingSecret": ""}, "database.existingSecret"),
    ({"storage.s3.bucket": ""}, "storage.s3.bucket"),
    ({"worker.autoscaling.enabled": True, "worker.keda.enabled": True}, "worker.keda.enabled"),
    ({"web.autoscaling.enabled": True, "web.autoscaling.maxReplicas": 1}, "web.autoscaling.minReplicas"),
    ({"worker.keda.enabled": True, "worker.keda.minReplicas": 11}, "worker.keda.minReplicas"),
    ({"web.pdb.minAvailable": 2}, "web.pdb.minAvailable"),
    ({"worker.keda.enabled": True, "worker.pdb.minAvailable": 1}, "worker.pdb.minAvailable"),
    ({"web.drainSeconds": 60}, "web.terminationGracePeriodSeconds"),
    ({"httpRoute.enabled": True}, "httpRoute.parentRefs"),
    ({"certificate.enabled": True}, "certificate.issuer.name"),
    ({"metrics.enabled": False, "metrics.serviceMonitor.enabled": True}, "metrics.serviceMonitor.enabled"),
    ({"metrics.port": 8000}, "metrics.port"),
]


def with_values(**paths: Any) -> dict[str, Any]:
    """Return the minimal values with others at these paths."""
    values = deepcopy(values_of("minimal"))
    for path, value in paths.items():
        *parents, last = path.split(".")
        at = values
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "word"),
    REFUSED_BY_THE_SCHEMA,
    ids=[f"{path}={value}" for path, value, _ in REFUSED_BY_THE_SCHEMA],
)
def test_the_schema_refuses_it_and_names_the_key(path: str, value: Any, word: str):
    with pytest.raises(HelmValuesError) as refused:
        texts(with_values(**{path: value}))
    said = str(refused.value)
    assert word in said
    assert all(part in said for part in path.split(".")[:-1])


@pytest.mark.parametrize(
    ("paths", "word"), REFUSED_BY_THE_CHART, ids=[",".join(paths) for paths, _ in REFUSED_BY_THE_CHART]
)
def test_the_chart_refuses_what_does_not_go_together(paths: dict[str, Any], word: str):
    with pytest.raises(HelmRenderError, match=word.replace(".", r"\.")):
        texts(with_values(**paths))


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_a_key_that_is_called_otherwise_is_told_its_name(old: str):
    with pytest.raises(HelmRenderError) as refused:
        texts(with_values(**{old: "x"}))
    assert f"{old}: in this chart it is called {RENAMED[old]}." in str(refused.value)


def test_right_values_are_taken():
    assert texts(with_values(**{"web.replicas": 3}))


# ---- closed everywhere


def _open_objects(node: Any, at: str) -> list[str]:
    """Return where the schema takes any key: objects that do not say what their other keys may be."""
    if isinstance(node, list):
        return [found for number, each in enumerate(node) for found in _open_objects(each, f"{at}[{number}]")]
    if not isinstance(node, dict):
        return []
    here = [at] if node.get("type") == "object" and "additionalProperties" not in node else []
    return here + [found for key, below in node.items() for found in _open_objects(below, f"{at}.{key}")]


def test_the_schema_is_closed_but_for_objects_that_are_kubernetes_own():
    assert _open_objects(SCHEMA, "") == [
        ".properties.global",  # Helm's, for charts inside of others
        ".properties.extraObjects.items",  # any object
        ".definitions.raw",  # parts of affinities and volumes
    ]


def test_the_schema_knows_exactly_the_keys_there_are():
    assert _keys(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")), SCHEMA, "") == []


def _keys(values: Any, schema: dict[str, Any], at: str) -> list[str]:
    """Return the keys that only one of the two has; where the schema takes a map of any names, none."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    properties = {
        name: below for name, below in schema.get("properties", {}).items() if not below.get("deprecated")
    }
    if not properties or not isinstance(values, dict) or at in {".config", ".web.affinity"}:
        return []
    differing = [f"{at}.{name}" for name in set(values) - set(properties)]
    for name, below in properties.items():
        if name in values:
            differing += _keys(values[name], below, f"{at}.{name}")
        elif f"{at}.{name}" not in OPTIONAL and not at.endswith(OPTIONAL_BELOW):
            differing.append(f"{at}.{name}")
    return differing


OPTIONAL = {".global"}
OPTIONAL_BELOW = (
    "affinity",
    "scaleUp",
    "scaleDown",
    "startup",
    "readiness",
    "liveness",
    "config",
    ".secrets.keys",
)


# ---- the settings of the code


def test_config_takes_exactly_the_settings_of_the_code_that_are_no_secrets_and_not_the_charts():
    taken = SCHEMA["properties"]["config"]
    assert taken["properties"] == by_config()
    assert taken["additionalProperties"] is False
    assert set(by_config()) | (set(known()) & {*NAMED_SECRETS, *FOREIGN_SECRETS, *BY_THE_CHART}) == set(
        known()
    )


def test_the_settings_are_those_the_reference_lists():
    text = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert set(known()) - set(re.findall(r"`([A-Z][A-Z0-9_]+)`", text)) == set()


def test_what_the_code_calls_a_secret_is_one_here():
    assert called_secret() - {*NAMED_SECRETS, *FOREIGN_SECRETS} == set()


def test_secrets_are_exactly_those_the_code_reads():
    keys = SCHEMA["properties"]["secrets"]["properties"]["keys"]["properties"]
    assert set(keys) == set(secrets())
    assert len(secrets()) >= 6
    assert set(FOREIGN_SECRETS) <= set(known())


def test_no_setting_that_sounds_like_a_secret_can_be_written_into_values():
    suspicious = {name for name in by_config() if any(part in SOUNDS for part in name.split("_"))}
    assert suspicious == set()


SOUNDS = {"KEY", "KEYS", "SECRET", "PASSWORD", "TOKEN", "DSN"}


def test_every_setting_of_the_chart_is_set_in_one_way():
    assert set(BY_THE_CHART) & set(by_config()) == set()
    assert set(BY_THE_CHART) & {*NAMED_SECRETS, *FOREIGN_SECRETS} == set()


# ---- what is made of comments and code


@pytest.mark.parametrize("name", ["README.md", "values.schema.json"])
def test_what_is_made_is_made_of_what_there_is_now(name: str):
    assert (CHART / name).read_text(encoding="utf-8") == written()[name], "make chart"


def test_the_table_is_made_of_the_comments():
    text = '# -- First.\nname: ""\nweb:\n  # -- Second.\n  replicas: 2\n  # no value\n  other: 1\n'
    assert described_values(text) == [Value("name", "", "First."), Value("web.replicas", 2, "Second.")]
    assert table(text).splitlines()[2:] == [
        "| `name` | none | First. |",
        "| `web.replicas` | `2` | Second. |",
    ]


def test_a_comment_without_a_key_is_seen():
    with pytest.raises(ValueError, match="Lost"):
        described_values("# -- Lost.\n\n- item\n")


def test_every_value_has_a_comment():
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    described = {each.path for each in described_values(text)}
    assert [path for path in _leaves(yaml.safe_load(text), "") if not _is_described(path, described)] == []


def _leaves(values: Any, at: str) -> list[str]:
    if not isinstance(values, dict) or not values:
        return [at]
    return [leaf for name, below in values.items() for leaf in _leaves(below, f"{at}.{name}".lstrip("."))]


def _is_described(path: str, described: set[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:length]) in described for length in range(1, len(parts) + 1))
