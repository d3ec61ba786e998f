"""Whether the network policies let every pod reach what it needs, and be reached by whoever must.

Only what they say is judged: ports, and pods of the release as peers. Whether an address is the right one, and what a
network plugin makes of a policy, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.helm.objects import (
    INSTALL_HOOKS,
    Object,
    PodOf,
    Problem,
    World,
    hooks,
    matches,
    name_of,
    port_of,
    weight,
)


def reachable(world: World) -> Iterator[Problem]:
    """Yield what a pod needs and no policy allows."""
    if not world.of("NetworkPolicy"):
        return
    for pod in world.pods():
        policies = [each for each in _at_work(world, pod) if matches(each["spec"]["podSelector"], pod.labels)]
        denied = {kind for each in policies for kind in each["spec"]["policyTypes"]}
        if denied != {"Ingress", "Egress"}:
            yield Problem("not-denied", pod.where, "is not closed by any policy")
        rules = [rule for each in policies for rule in each["spec"].get("egress", [])]
        for says, protocol, port in _needs(world, pod):
            if not any(_allows(rule, protocol, port) for rule in rules):
                yield Problem("cannot-reach", pod.where, f"may not reach {says} at {protocol} {port}")
        if pod.owner["kind"] == "Deployment":
            yield from _reached(pod, policies)
    yield from _test_reaches_web(world)


def _at_work(world: World, pod: PodOf) -> list[Object]:
    """Return the policies that are there when the pod runs: for a hook of the first install only earlier hooks."""
    policies = world.of("NetworkPolicy")
    if not hooks(pod.owner) & set(INSTALL_HOOKS):
        return [each for each in policies if not hooks(each)]
    return [each for each in policies if hooks(each) and weight(each) < weight(pod.owner)]


def _needs(world: World, pod: PodOf) -> Iterator[tuple[str, str, int]]:
    yield "names", "UDP", 53
    yield "names", "TCP", 53
    told = _variables(world, pod)
    if "DATABASE_URL" in told:
        yield "the database", "TCP", world.external.database_port
    if pod.component in {"migrate", "test"}:
        return
    if "ROWHOUSE_S3_BUCKET" in told:
        yield "the bucket", "TCP", _port(told.get("ROWHOUSE_S3_ENDPOINT") or "https://s3.amazonaws.com")
        yield "tenants' webhooks", "TCP", 443
        if "ROWHOUSE_S3_ACCESS_KEY" not in told:
            yield "the pod's identity", "TCP", 80
    if told.get("ROWHOUSE_EMAIL_HOST"):
        yield "mail", "TCP", int(told.get("ROWHOUSE_EMAIL_PORT") or 587)


def _variables(world: World, pod: PodOf) -> dict[str, str]:
    told: dict[str, str] = {}
    for container in pod.containers:
        for source in container.get("envFrom", []):
            found = world.find("ConfigMap", source.get("configMapRef", {}).get("name", ""))
            told |= found["data"] if found else {}
        told |= {each["name"]: each.get("value", "") for each in container.get("env", [])}
    return told


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (80 if parts.scheme == "http" else 443)


def _allows(rule: Object, protocol: str, port: int) -> bool:
    ports: list[dict[str, Any]] = rule.get("ports") or [{"protocol": protocol, "port": port}]
    return any(each.get("protocol", "TCP") == protocol and each.get("port", port) == port for each in ports)


def _reached(pod: PodOf, policies: list[Object]) -> Iterator[Problem]:
    rules = [rule for each in policies for rule in each["spec"].get("ingress", [])]
    for container in pod.containers:
        for port in container.get("ports", []):
            if not any(_allows(rule, "TCP", port["containerPort"]) for rule in rules):
                yield Problem("cannot-be-reached", pod.where, f"nobody may reach its port {port['name']}")
    metrics = next((port for each in pod.containers if (port := port_of(each, "metrics"))), None)
    for rule in rules:
        if metrics and _allows(rule, "TCP", metrics) and not rule.get("from"):
            yield Problem("open-metrics", pod.where, "anybody may read its metrics")


def _test_reaches_web(world: World) -> Iterator[Problem]:
    for test in [pod for pod in world.pods() if pod.component == "test"]:
        for web in [pod for pod in world.serving() if pod.component == "web"]:
            port = next(found for each in web.containers if (found := port_of(each, "http")))
            out = [rule for each in _of(world, test, "Egress") for rule in each["spec"].get("egress", [])]
            into = [rule for each in _of(world, web, "Ingress") for rule in each["spec"].get("ingress", [])]
            leaves = any(_allows(rule, "TCP", port) and _peer(rule.get("to"), web) for rule in out)
            enters = any(_allows(rule, "TCP", port) and _peer(rule.get("from"), test) for rule in into)
            if not (leaves and enters):
                yield Problem("cannot-reach", name_of(test.owner), f"may not reach {web.where}")


def _of(world: World, pod: PodOf, kind: str) -> list[Object]:
    return [
        each
        for each in world.of("NetworkPolicy")
        if not hooks(each)
        and kind in each["spec"]["policyTypes"]
        and matches(each["spec"]["podSelector"], pod.labels)
    ]


def _peer(peers: list[Object] | None, pod: PodOf) -> bool:
    return not peers or any(
        "podSelector" in each and matches(each["podSelector"], pod.labels) for each in peers
    )
