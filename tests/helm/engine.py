"""The chart in the real Helm engine, and objects against Kubernetes' own schemas; no binary and no cluster."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema
import yaml
from helm_python import Chart
from kubernetes_validate import utils as schemas
from referencing import Registry, Resource

from tests.helm.custom import CUSTOM
from tests.helm.objects import External, Object
from tests.source import ROOT

CHART = ROOT / "helm" / "rowhouse"
CI = tuple(sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml")))
OLDEST = "1.30"  # Chart.yaml's kubeVersion
# Whatever these files name is there before: that is what an existing Secret means.
OUTSIDE = External(
    secrets=frozenset(
        {
            "registry",
            "rowhouse-bucket",
            "rowhouse-database",
            "rowhouse-pooler",
            "rowhouse-postgres-app",
            "rowhouse-queue-reader",
            "rowhouse-secrets",
        }
    ),
    config_maps=frozenset({"company-ca"}),
)


def values_of(name: str) -> dict[str, Any]:
    """Return the values of a file in ci/."""
    found: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text(encoding="utf-8"))
    return found


@cache
def chart() -> Chart:
    """Return the chart as Helm has loaded it."""
    return Chart.load(CHART)


def texts(values: dict[str, Any], *, upgrade: bool = False, revision: int = 1) -> dict[str, str]:
    """Return what each template gives with these values.

    :raises HelmValuesError: the schema refuses the values.
    :raises HelmRenderError: a template does.
    """
    return chart().render(
        values,
        name="rowhouse",
        namespace="rowhouse",
        revision=revision,
        is_install=not upgrade,
        is_upgrade=upgrade,
    )


def rendered(values: dict[str, Any], **options: Any) -> list[Object]:
    """Return the objects of these values, hooks included. Raises as `texts` does."""
    found = texts(values, **options)
    return [
        document
        for name, text in sorted(found.items())
        if not name.endswith(".txt")
        for document in yaml.safe_load_all(text)
        if document
    ]


def versions() -> list[str]:
    """Return the releases of Kubernetes whose schemas are at hand, from the oldest the chart takes."""
    known = dict.fromkeys(schemas.major_minor(each) for each in schemas.all_versions())
    return [each for each in known if tuple(map(int, each.split("."))) >= tuple(map(int, OLDEST.split(".")))]


def faults(each: Object, version: str) -> list[str]:
    """Return what a release of Kubernetes, or the structure of a custom resource, says against an object."""
    validator = _validator(version, each["kind"].lower(), each["apiVersion"])
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(each)
    ]


@cache
def _validator(version: str, kind: str, api_version: str) -> Any:
    if structure := CUSTOM.get((api_version, kind)):
        return jsonschema.Draft202012Validator(structure)
    group = api_version.replace("/", "-") if "." not in api_version else _short(api_version)
    schema = schemas.schema_contents(f"{_folder(version)}/{kind}-{group}.json", version)
    return jsonschema.Draft202012Validator(
        schema, registry=Resource.from_contents(schema) @ _definitions(version)
    )


def _short(api_version: str) -> str:
    """Return `networking-v1` of `networking.k8s.io/v1`, as the files are called."""
    group, _, version = api_version.partition("/")
    return f"{group.partition('.')[0]}-{version}"


def _folder(version: str) -> str:
    full = next(each for each in schemas.all_versions() if schemas.major_minor(each) == version)
    return f"kubernetes-json-schema/v{full}-local-strict"


@cache
def _definitions(version: str) -> Registry[Any]:
    contents = schemas.schema_contents(f"{_folder(version)}/_definitions.json", version)
    return Resource.from_contents(contents) @ Registry()
