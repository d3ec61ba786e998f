"""Helm's own install, upgrade and rollback of the chart, with a stand-in for the API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from helm_python import Config, HelmReleaseError

from tests.helm.engine import OUTSIDE, chart, values_of
from tests.helm.objects import Object
from tests.helm.standin import Cluster, serving

SECONDS = 30
NEXT = {"image": {"tag": "0.2.0"}, "config": {"ROWHOUSE_LOG_LEVEL": "DEBUG"}}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(OUTSIDE.secrets)


@pytest.fixture
def helm(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    with (
        serving(cluster) as address,
        Config(storage_driver="memory", namespace="rowhouse", kube_apiserver=address) as config,
    ):
        yield config


def install(helm: Config) -> None:
    helm.install(chart(), "rowhouse", values_of("minimal"), timeout=SECONDS, wait="hookOnly")


def upgrade(helm: Config, **values: Any) -> None:
    helm.upgrade(chart(), "rowhouse", values_of("minimal") | values, timeout=SECONDS, wait="hookOnly")


def web(cluster: Cluster) -> Object:
    """Return the web's pod template."""
    found: Object = cluster.one("Deployment", "rowhouse-web")["spec"]["template"]
    return found


def test_an_install_migrates_before_anything_of_the_release_is_there(helm: Config, cluster: Cluster):
    install(helm)
    migration = cluster.done.index("create Job/rowhouse-migrate-1")
    assert sorted(cluster.done[:migration]) == [
        "create ConfigMap/rowhouse-migrate",
        "create NetworkPolicy/rowhouse-migrate",
        "create ServiceAccount/rowhouse-migrate",
    ]
    assert cluster.done.index("create Deployment/rowhouse-web") > migration
    assert cluster.names("Job") == ["rowhouse-migrate-1"]
    assert cluster.names("ConfigMap") == ["rowhouse"]  # the hooks' own is gone
    assert cluster.names("ServiceAccount") == ["rowhouse"]


def test_an_upgrade_migrates_first_and_then_replaces_the_pods(helm: Config, cluster: Cluster):
    install(helm)
    before, begun = web(cluster), len(cluster.done)
    upgrade(helm, **NEXT)
    done = cluster.done[begun:]
    assert done.index("create Job/rowhouse-migrate-2") < done.index("apply Deployment/rowhouse-web")
    assert cluster.names("Job") == ["rowhouse-migrate-1", "rowhouse-migrate-2"]
    assert web(cluster)["spec"]["containers"][0]["image"] == "ghcr.io/rowhouse/rowhouse:0.2.0"
    assert web(cluster)["metadata"]["annotations"] != before["metadata"]["annotations"]
    assert cluster.one("ConfigMap", "rowhouse")["data"]["ROWHOUSE_LOG_LEVEL"] == "DEBUG"


def test_a_migration_that_fails_leaves_the_old_release_as_it_is(helm: Config, cluster: Cluster):
    install(helm)
    before, begun = web(cluster), len(cluster.done)
    cluster.jobs_fail = True
    with pytest.raises(HelmReleaseError):
        upgrade(helm, **NEXT)
    assert web(cluster) == before
    assert "apply ConfigMap/rowhouse" not in cluster.done[begun:]
    assert "rowhouse-migrate-2" in cluster.names("Job")  # with its log


@pytest.mark.slow
def test_after_a_failed_migration_the_next_upgrade_goes_through(helm: Config, cluster: Cluster):
    install(helm)
    cluster.jobs_fail = True
    with pytest.raises(HelmReleaseError):
        upgrade(helm, **NEXT)
    cluster.jobs_fail = False
    upgrade(helm, **NEXT)
    assert web(cluster)["spec"]["containers"][0]["image"] == "ghcr.io/rowhouse/rowhouse:0.2.0"
    assert "rowhouse-migrate-3" in cluster.names("Job")


def test_a_rollback_brings_the_former_pods_back_and_migrates_nothing(helm: Config, cluster: Cluster):
    install(helm)
    before = web(cluster)
    upgrade(helm, **NEXT)
    helm.rollback("rowhouse", version=1, timeout=SECONDS, wait="hookOnly")
    assert web(cluster) == before
    assert "ROWHOUSE_LOG_LEVEL" not in cluster.one("ConfigMap", "rowhouse")["data"]
    assert cluster.names("Job") == ["rowhouse-migrate-1", "rowhouse-migrate-2"]
    assert [each["revision"] for each in helm.history("rowhouse")] == [1, 2, 3]


@pytest.mark.slow
def test_what_cannot_be_changed_stays_the_same_when_values_change(helm: Config, cluster: Cluster):
    install(helm)
    upgrade(helm, web={"podLabels": {"team": "data"}}, metrics={"enabled": False})
    assert web(cluster)["metadata"]["labels"]["team"] == "data"
    assert "rowhouse-metrics" not in cluster.names("Service")


def test_a_migration_whose_secret_is_missing_stops_the_install(helm: Config, cluster: Cluster):
    cluster.secrets = frozenset()
    with pytest.raises(HelmReleaseError):
        install(helm)
    assert cluster.names("Deployment") == []


def test_an_uninstall_takes_all_but_the_migrations_with_it(helm: Config, cluster: Cluster):
    install(helm)
    helm.uninstall("rowhouse", timeout=SECONDS)
    assert sorted(cluster.objects) == [("Job", "rowhouse-migrate-1")]
