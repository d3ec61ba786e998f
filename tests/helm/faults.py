"""Faults to be planted into what the chart renders, each with the code of the check that must see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.helm.objects import Object

Change = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, slots=True)
class Fault:
    """A change to one object of a rendering, and what must be said of it."""

    says: str
    ci: str
    target: str
    change: Change
    code: str


def pod(each: Object) -> Any:
    """Return the pod's spec of a Deployment or Job."""
    return each["spec"]["template"]["spec"]


def container(each: Object) -> Any:
    return pod(each)["containers"][0]


def _set(*path: str | int, to: Any) -> Change:
    def change(each: dict[str, Any]) -> None:
        at: Any = each
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = to

    return change


def _drop(*path: str | int) -> Change:
    def change(each: dict[str, Any]) -> None:
        at: Any = each
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return change


_CONTAINER = ("spec", "template", "spec", "containers", 0)
FAULTS = (
    Fault(
        "a selector that matches other labels",
        "full",
        "Deployment/rows-web",
        _set("spec", "selector", "matchLabels", "app.kubernetes.io/component", to="api"),
        "selector-mismatch",
    ),
    Fault(
        "a Service that leads to no pods",
        "full",
        "Service/rows-web",
        _set("spec", "selector", "app.kubernetes.io/component", to="frontend"),
        "selects-nothing",
    ),
    Fault(
        "a Service's port that no container has",
        "full",
        "Service/rows-web",
        _set("spec", "ports", 0, "targetPort", to="https"),
        "service-port",
    ),
    Fault(
        "a monitor of a port no Service has",
        "full",
        "ServiceMonitor/rows",
        _set("spec", "endpoints", 0, "port", to="prometheus"),
        "monitor-port",
    ),
    Fault(
        "a budget that matches no pods",
        "full",
        "PodDisruptionBudget/rows-web",
        _set("spec", "selector", "matchLabels", "app.kubernetes.io/component", to="wep"),
        "selects-nothing",
    ),
    Fault(
        "a budget that lets no pod go",
        "full",
        "PodDisruptionBudget/rows-web",
        _set("spec", "minAvailable", to=4),
        "budget-blocks",
    ),
    Fault(
        "a budget over the least pods of a scaler",
        "hpa",
        "PodDisruptionBudget/rowhouse-web",
        _set("spec", "minAvailable", to=3),
        "budget-blocks",
    ),
    Fault(
        "a probe at a port that is none",
        "full",
        "Deployment/rows-web",
        _set(*_CONTAINER, "readinessProbe", "httpGet", "port", to="web"),
        "probe-port",
    ),
    Fault(
        "a probe that asks nothing",
        "full",
        "Deployment/rows-worker",
        _drop(*_CONTAINER, "livenessProbe", "exec"),
        "probe-handler",
    ),
    Fault(
        "no probe at all", "full", "Deployment/rows-worker", _drop(*_CONTAINER, "livenessProbe"), "no-probe"
    ),
    Fault(
        "settings of a ConfigMap that is not there",
        "full",
        "Deployment/rows-worker",
        _set(*_CONTAINER, "envFrom", 0, "configMapRef", "name", to="rows-config"),
        "no-such",
    ),
    Fault(
        "a Secret that nobody makes",
        "full",
        "Deployment/rows-web",
        _set(*_CONTAINER, "env", 0, "valueFrom", "secretKeyRef", "name", to="rows-database"),
        "no-such",
    ),
    Fault(
        "an account that is not there",
        "full",
        "Deployment/rows-web",
        _set("spec", "template", "spec", "serviceAccountName", to="rows-web"),
        "no-such",
    ),
    Fault(
        "a claim that is not there",
        "full",
        "Deployment/rows-web",
        _set(
            "spec",
            "template",
            "spec",
            "volumes",
            1,
            to={"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        ),
        "no-such",
    ),
    Fault(
        "a migration that needs the release's own settings",
        "full",
        "Job/rows-migrate-1",
        _set(*_CONTAINER, "envFrom", 0, "configMapRef", "name", to="rows"),
        "hook-order",
    ),
    Fault(
        "a migration before its settings",
        "full",
        "Job/rows-migrate-1",
        _set("metadata", "annotations", "helm.sh/hook-weight", to="-20"),
        "hook-order",
    ),
    Fault(
        "a hook that stays in the way",
        "full",
        "ConfigMap/rows-migrate",
        _set("metadata", "annotations", "helm.sh/hook-delete-policy", to="hook-failed"),
        "hook-stays",
    ),
    Fault(
        "memory in no unit of Kubernetes",
        "full",
        "Deployment/rows-web",
        _set(*_CONTAINER, "resources", "requests", "memory", to="512MB"),
        "quantity",
    ),
    Fault(
        "a volume's size in no unit",
        "full",
        "Deployment/rows-web",
        _set("spec", "template", "spec", "volumes", 0, "emptyDir", "sizeLimit", to="4 Gi"),
        "quantity",
    ),
    Fault(
        "a request over its limit",
        "full",
        "Deployment/rows-worker",
        _set(*_CONTAINER, "resources", "requests", "memory", to="3Gi"),
        "over-limit",
    ),
    Fault(
        "no request at all",
        "full",
        "Deployment/rows-worker",
        _set(*_CONTAINER, "resources", to={}),
        "no-requests",
    ),
    Fault(
        "a variable twice",
        "full",
        "Deployment/rows-web",
        lambda each: container(each)["env"].append({"name": "DATABASE_URL", "value": "x"}),
        "env-twice",
    ),
    Fault(
        "a variable that is a setting too",
        "full",
        "Deployment/rows-web",
        lambda each: container(each)["env"].append({"name": "ROWHOUSE_LOG_LEVEL", "value": "DEBUG"}),
        "env-twice",
    ),
    Fault(
        "a setting no code reads",
        "full",
        "ConfigMap/rows",
        _set("data", "ROWHOUSE_UPLOADS_MAX_MB", to="1"),
        "unknown-setting",
    ),
    Fault("no image", "full", "Deployment/rows-web", _set(*_CONTAINER, "image", to=""), "image"),
    Fault(
        "an image of any release",
        "full",
        "Deployment/rows-web",
        _set(*_CONTAINER, "image", to="ghcr.io/rowhouse/rowhouse:latest"),
        "image",
    ),
    Fault(
        "a name in capitals",
        "full",
        "Deployment/rows-web",
        _set("metadata", "name", to="Rows-web"),
        "bad-name",
    ),
    Fault(
        "a CronJob's name that leaves no room for its Jobs'",
        "full",
        "CronJob/rows-backup",
        _set("metadata", "name", to="r" * 53),
        "bad-name",
    ),
    Fault(
        "two objects of one name",
        "full",
        "ConfigMap/rows-notes",
        _set("metadata", "name", to="rows"),
        "name-twice",
    ),
    Fault(
        "a namespace of its own",
        "full",
        "Service/rows-web",
        _set("metadata", "namespace", to="default"),
        "namespace",
    ),
    Fault(
        "a scaler of nothing",
        "hpa",
        "HorizontalPodAutoscaler/rowhouse-web",
        _set("spec", "scaleTargetRef", "name", to="rowhouse"),
        "no-target",
    ),
    Fault(
        "a scaler of queues of nothing",
        "keda",
        "ScaledObject/rowhouse-worker",
        _set("spec", "scaleTargetRef", "name", to="worker"),
        "no-target",
    ),
    Fault(
        "replicas beside a scaler",
        "keda",
        "Deployment/rowhouse-worker",
        _set("spec", "replicas", to=2),
        "replicas-fixed",
    ),
    Fault(
        "more pods at least than at most",
        "hpa",
        "HorizontalPodAutoscaler/rowhouse-web",
        _set("spec", "minReplicas", to=20),
        "min-over-max",
    ),
    Fault(
        "two scalers of one Deployment",
        "hpa",
        "HorizontalPodAutoscaler/rowhouse-worker",
        _set("spec", "scaleTargetRef", "name", to="rowhouse-web"),
        "scaled-twice",
    ),
    Fault(
        "a secret of KEDA's that nobody makes",
        "keda",
        "TriggerAuthentication/rowhouse-worker",
        _set("spec", "secretTargetRef", 0, "name", to="queue"),
        "no-such",
    ),
    Fault(
        "a policy for no pods",
        "full",
        "NetworkPolicy/rows-web",
        _set("spec", "podSelector", "matchLabels", "app.kubernetes.io/component", to="http"),
        "selects-nothing",
    ),
    Fault(
        "a policy that keeps the web closed",
        "full",
        "NetworkPolicy/rows-web",
        _set("spec", "ingress", 0, "ports", 0, "port", to=80),
        "cannot-be-reached",
    ),
    Fault(
        "no way to the bucket",
        "full",
        "NetworkPolicy/rows-work",
        lambda each: each["spec"]["egress"].pop(3),
        "cannot-reach",
    ),
    Fault(
        "no way to names",
        "minimal",
        "NetworkPolicy/rowhouse-work",
        lambda each: each["spec"]["egress"].pop(0),
        "cannot-reach",
    ),
    Fault(
        "no way of the migration to the database",
        "minimal",
        "NetworkPolicy/rowhouse-migrate",
        lambda each: each["spec"]["egress"].pop(1),
        "cannot-reach",
    ),
    Fault(
        "no way to a pod's identity",
        "s3-identity",
        "NetworkPolicy/rowhouse-work",
        lambda each: each["spec"]["egress"].pop(2),
        "cannot-reach",
    ),
    Fault(
        "a test pod that may not ask",
        "full",
        "NetworkPolicy/rows-test",
        lambda each: each["spec"]["egress"].pop(1),
        "cannot-reach",
    ),
    Fault(
        "nothing that denies",
        "full",
        "NetworkPolicy/rows-deny",
        _set("spec", "policyTypes", to=["Egress"]),
        "not-denied",
    ),
    Fault(
        "metrics open to everybody",
        "full",
        "NetworkPolicy/rows-metrics",
        _drop("spec", "ingress", 0, "from"),
        "open-metrics",
    ),
    Fault(
        "a schedule that is no time",
        "full",
        "CronJob/rows-drill",
        _set("spec", "schedule", to="0 25 * * *"),
        "schedule",
    ),
    Fault(
        "a time zone that is none",
        "full",
        "CronJob/rows-drill",
        _set("spec", "timeZone", to="Europe/Rowhouse"),
        "schedule",
    ),
    Fault(
        "a mount of no volume",
        "full",
        "Deployment/rows-worker",
        _set(*_CONTAINER, "volumeMounts", 0, "name", to="temp"),
        "no-volume",
    ),
    Fault(
        "two volumes in one place",
        "full",
        "Deployment/rows-worker",
        _set(*_CONTAINER, "volumeMounts", 1, "mountPath", to="/tmp"),
        "mounted-twice",
    ),
    Fault(
        "code that can be written",
        "full",
        "Deployment/rows-web",
        _set(*_CONTAINER, "securityContext", "readOnlyRootFilesystem", to=False),
        "security",
    ),
    Fault(
        "a token of the cluster",
        "full",
        "Deployment/rows-web",
        _drop("spec", "template", "spec", "automountServiceAccountToken"),
        "security",
    ),
    Fault(
        "other Services' variables",
        "full",
        "Deployment/rows-web",
        _drop("spec", "template", "spec", "enableServiceLinks"),
        "security",
    ),
    Fault(
        "pods of others spread",
        "full",
        "Deployment/rows-web",
        _set(
            *("spec", "template", "spec", "topologySpreadConstraints", 0, "labelSelector", "matchLabels"),
            "app.kubernetes.io/component",
            to="worker",
        ),
        "spread-mismatch",
    ),
    Fault(
        "a drain longer than its life",
        "full",
        "Deployment/rows-web",
        _set(*_CONTAINER, "lifecycle", "preStop", "sleep", "seconds", to=75),
        "no-time-to-leave",
    ),
    Fault(
        "a host without a certificate",
        "full",
        "Ingress/rows",
        lambda each: each["spec"]["tls"][0]["hosts"].remove("*.rowhouse.example.com"),
        "no-tls",
    ),
    Fault(
        "a certificate that lacks a host",
        "full",
        "Certificate/rows",
        lambda each: each["spec"]["dnsNames"].remove("operators.example.com"),
        "certificate-names",
    ),
    Fault(
        "a certificate's Secret that nobody makes",
        "full",
        "Ingress/rows",
        _set("spec", "tls", 0, "secretName", to="wildcard"),
        "no-such",
    ),
    Fault(
        "a route to no Service",
        "httproute",
        "HTTPRoute/rowhouse",
        _set("spec", "rules", 0, "backendRefs", 0, "name", to="rowhouse"),
        "backend",
    ),
    Fault(
        "an Ingress to a port that is none",
        "full",
        "Ingress/rows",
        _set("spec", "rules", 0, "http", "paths", 0, "backend", "service", "port", "name", to="web"),
        "backend",
    ),
    Fault(
        "a command that is none",
        "full",
        "Job/rows-migrate-1",
        _set(*_CONTAINER, "command", to=["rowhouse", "migrate_tenant"]),
        "unknown-command",
    ),
    Fault(
        "a shell, which the image has not",
        "full",
        "Deployment/rows-worker",
        _set(*_CONTAINER, "command", to=["sh", "-c", "rowhouse worker"]),
        "unknown-command",
    ),
)
