"""Rendered objects as the checks look at them: by kind and name, their pods, what labels match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
INSTALL_HOOKS = ("pre-install", "pre-upgrade")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an object: a code that tests name, where, and a sentence."""

    code: str
    where: str
    says: str


@dataclass(frozen=True, slots=True)
class External:
    """What is there before the chart: its values name it."""

    secrets: frozenset[str] = frozenset()
    config_maps: frozenset[str] = frozenset()
    database_port: int = 5432


@dataclass(frozen=True, slots=True)
class PodOf:
    """A pod as an object will make it."""

    owner: Object
    labels: dict[str, str]
    spec: Object

    @property
    def where(self) -> str:
        return name_of(self.owner)

    @property
    def component(self) -> str:
        return self.labels.get("app.kubernetes.io/component", "")

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec.get("containers", [])]


@dataclass(frozen=True, slots=True)
class World:
    """All objects of one rendering, and what there is beside them."""

    objects: list[Object]
    external: External = field(default_factory=External)

    def of(self, *kinds: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] in kinds]

    def find(self, kind: str, name: str) -> Object | None:
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)

    def pods(self) -> Iterator[PodOf]:
        for each in self.objects:
            spec = each.get("spec", {})
            if each["kind"] == "Pod":
                yield PodOf(each, each["metadata"].get("labels", {}), spec)
            elif each["kind"] in {"Deployment", "StatefulSet", "DaemonSet", "Job"}:
                yield _of_template(each, spec["template"])
            elif each["kind"] == "CronJob":
                yield _of_template(each, spec["jobTemplate"]["spec"]["template"])

    def serving(self) -> list[PodOf]:
        """Return the pods that stay: those a Service may lead to."""
        return [pod for pod in self.pods() if pod.owner["kind"] == "Deployment"]


def _of_template(owner: Object, template: Object) -> PodOf:
    return PodOf(owner, template.get("metadata", {}).get("labels", {}), template["spec"])


def name_of(each: Object) -> str:
    """Return `Kind/name`."""
    return f"{each['kind']}/{each['metadata']['name']}"


def hooks(each: Object) -> set[str]:
    """Return the moments at which Helm makes the object; none: with the release."""
    said = each["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    return {word.strip() for word in said.split(",") if word.strip()}


def weight(each: Object) -> int:
    """Return a hook's place in the order."""
    return int(each["metadata"].get("annotations", {}).get("helm.sh/hook-weight", "0"))


def is_there_for(user: Object, used: Object) -> bool:
    """Return whether Helm has made `used` when it makes `user`."""
    if not hooks(user) & set(INSTALL_HOOKS):
        return not hooks(used) & set(INSTALL_HOOKS) or "hook-succeeded" not in _deleted(used)
    return hooks(used) >= hooks(user) & set(INSTALL_HOOKS) and weight(used) < weight(user)


def _deleted(each: Object) -> str:
    return str(each["metadata"].get("annotations", {}).get("helm.sh/hook-delete-policy", ""))


def matches(selector: Object | None, labels: dict[str, str]) -> bool:
    """Return whether a label selector takes these labels; an empty one takes all."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_expression(each, labels) for each in selector.get("matchExpressions", []))


def _expression(each: Object, labels: dict[str, str]) -> bool:
    there, values = each["key"] in labels, each.get("values", [])
    match each["operator"]:
        case "In":
            return there and labels[each["key"]] in values
        case "NotIn":
            return not there or labels[each["key"]] not in values
        case "Exists":
            return there
        case _:
            return not there


def port_of(container: Object, port: int | str) -> int | None:
    """Return the number of a container's port, by name or number; None when it has no such port."""
    for each in container.get("ports", []):
        if port in (each.get("name"), each["containerPort"]):
            return int(each["containerPort"])
    return None
