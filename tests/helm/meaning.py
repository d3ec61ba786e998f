"""What a schema cannot say of rendered objects: whether they fit each other.

`problems()` runs every check and returns what it found. Each check is shown to catch a planted fault.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from core.clock import now
from tests.helm import network
from tests.helm.objects import (
    INSTALL_HOOKS,
    External,
    Object,
    PodOf,
    Problem,
    World,
    hooks,
    is_there_for,
    matches,
    name_of,
    port_of,
    weight,
)
from tests.helm.settings import known
from tests.source import PACKAGES

Check = Callable[[World], Iterator[Problem]]
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LONG_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|Ki|Mi|Gi|Ti|M|G|T)?")
FACTORS = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}
LONGEST = {"CronJob": 52, "Service": 63, "Job": 63, "Pod": 63, "Deployment": 63}


def problems(objects: list[Object], external: External) -> list[Problem]:
    """Return what does not fit, in the order of the checks."""
    world = World(objects, external)
    return [problem for check in CHECKS for problem in check(world)]


# ---- names and selectors


def names(world: World) -> Iterator[Problem]:
    seen = Counter(name_of(each) for each in world.objects)
    for where, count in seen.items():
        if count > 1:
            yield Problem("name-twice", where, f"is there {count} times")
    for each in world.objects:
        name, kind = each["metadata"]["name"], each["kind"]
        form = LABEL if kind in LONGEST else LONG_NAME
        if not form.fullmatch(name) or len(name) > LONGEST.get(kind, 253):
            yield Problem("bad-name", name_of(each), "is no name that Kubernetes takes")
        if "namespace" in each["metadata"]:
            yield Problem(
                "namespace", name_of(each), "has a namespace of its own; the release says where it is"
            )


def selectors(world: World) -> Iterator[Problem]:
    for pod in world.serving():
        if not matches(pod.owner["spec"]["selector"], pod.labels):
            yield Problem("selector-mismatch", pod.where, "its selector does not match its pods' labels")
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            if not matches(constraint["labelSelector"], pod.labels):
                yield Problem("spread-mismatch", pod.where, "spreads pods that are not its own")
    for budget in world.of("PodDisruptionBudget"):
        if not any(matches(budget["spec"]["selector"], pod.labels) for pod in world.serving()):
            yield Problem("selects-nothing", name_of(budget), "matches no pods")
    for policy in world.of("NetworkPolicy"):
        if not any(matches(policy["spec"]["podSelector"], pod.labels) for pod in world.pods()):
            yield Problem("selects-nothing", name_of(policy), "matches no pods")


def services(world: World) -> Iterator[Problem]:
    for service in world.of("Service"):
        chosen = [
            pod
            for pod in world.serving()
            if matches({"matchLabels": service["spec"]["selector"]}, pod.labels)
        ]
        if not chosen:
            yield Problem("selects-nothing", name_of(service), "leads to no pods")
        for port in service["spec"]["ports"]:
            for pod in chosen:
                if not any(port_of(each, port["targetPort"]) for each in pod.containers):
                    yield Problem(
                        "service-port", name_of(service), f"no port {port['targetPort']} in {pod.where}"
                    )
    for monitor in world.of("ServiceMonitor"):
        chosen_services = [
            each
            for each in world.of("Service")
            if matches(monitor["spec"]["selector"], each["metadata"].get("labels", {}))
        ]
        ports = {port.get("name") for each in chosen_services for port in each["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in ports:
                yield Problem(
                    "monitor-port", name_of(monitor), f"no Service it finds has a port {endpoint['port']}"
                )


def routes(world: World) -> Iterator[Problem]:
    for ingress in world.of("Ingress"):
        covered = {host for entry in ingress["spec"].get("tls", []) for host in entry["hosts"]}
        for rule in ingress["spec"]["rules"]:
            if rule["host"] not in covered:
                yield Problem("no-tls", name_of(ingress), f"{rule['host']} has no certificate")
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                port = backend["port"].get("name") or backend["port"]["number"]
                yield from _backend(world, ingress, backend["name"], port)
    for route in world.of("HTTPRoute"):
        for route_rule in route["spec"]["rules"]:
            for backend in route_rule["backendRefs"]:
                yield from _backend(world, route, backend["name"], backend["port"])
    for certificate in world.of("Certificate"):
        names_of_it = set(certificate["spec"]["dnsNames"])
        for ingress in world.of("Ingress"):
            for entry in ingress["spec"].get("tls", []):
                ours = entry["secretName"] == certificate["spec"]["secretName"]
                if ours and (missing := set(entry["hosts"]) - names_of_it):
                    yield Problem(
                        "certificate-names", name_of(certificate), f"lacks {', '.join(sorted(missing))}"
                    )


def _backend(world: World, user: Object, name: str, port: int | str) -> Iterator[Problem]:
    service = world.find("Service", name)
    ports = service["spec"]["ports"] if service else []
    if not any(port in (each.get("name"), each["port"]) for each in ports):
        yield Problem("backend", name_of(user), f"there is no Service {name} with a port {port}")


# ---- pods


def probes(world: World) -> Iterator[Problem]:
    for pod in world.pods():
        for container in pod.containers:
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe := container.get(kind):
                    yield from _probe(pod, container, kind, probe)
        if pod.owner["kind"] == "Deployment":
            kinds = {kind for each in pod.containers for kind in each}
            for kind in {"startupProbe", "livenessProbe"} - kinds:
                yield Problem("no-probe", pod.where, f"has no {kind}")


def _probe(pod: PodOf, container: Object, kind: str, probe: Object) -> Iterator[Problem]:
    handlers = {"httpGet", "tcpSocket", "exec", "grpc"} & set(probe)
    if len(handlers) != 1:
        yield Problem("probe-handler", pod.where, f"{kind} asks in {len(handlers)} ways instead of one")
    for handler in handlers & {"httpGet", "tcpSocket"}:
        if port_of(container, probe[handler]["port"]) is None:
            yield Problem(
                "probe-port", pod.where, f"{kind} asks at {probe[handler]['port']}, which is no port of it"
            )


def containers(world: World) -> Iterator[Problem]:
    for pod in world.pods():
        for container in pod.containers:
            image = container.get("image", "")
            if not re.fullmatch(r"[\w./:-]+(:[\w][\w.-]*|@sha256:[0-9a-f]{64})", image) or image.endswith(
                ":latest"
            ):
                yield Problem("image", pod.where, f"{image!r} is no image of one release")
            again = [
                name
                for name, n in Counter(each["name"] for each in container.get("env", [])).items()
                if n > 1
            ]
            if again:
                yield Problem("env-twice", pod.where, f"{', '.join(again)} more than once")
            yield from _also_in_config(world, pod, container)


def _also_in_config(world: World, pod: PodOf, container: Object) -> Iterator[Problem]:
    own = {each["name"] for each in container.get("env", [])}
    for source in container.get("envFrom", []):
        found = world.find("ConfigMap", source.get("configMapRef", {}).get("name", ""))
        if found and (both := own & set(found["data"])):
            yield Problem("env-twice", pod.where, f"{', '.join(sorted(both))} also in {name_of(found)}")


def settings(world: World) -> Iterator[Problem]:
    names_known = known()
    for each in world.of("ConfigMap"):
        for name in each.get("data", {}):
            if name.startswith("ROWHOUSE_") and name not in names_known:
                yield Problem("unknown-setting", name_of(each), f"no code reads {name}")
    for pod in world.pods():
        for container in pod.containers:
            for variable in container.get("env", []):
                if variable["name"].startswith("ROWHOUSE_") and variable["name"] not in names_known:
                    yield Problem("unknown-setting", pod.where, f"no code reads {variable['name']}")


COMMANDS = {path.stem for package in PACKAGES for path in package.rglob("management/commands/*.py")}


def commands(world: World) -> Iterator[Problem]:
    """The image has no shell: a container begins a program of it, and `rowhouse` with a command there is."""
    for pod in world.pods():
        for container in pod.containers:
            program, *words = container.get("command") or [""]
            command = words[0] if words else ""
            is_ours = command in COMMANDS
            if program not in {"gunicorn", "python"} and not (program == "rowhouse" and is_ours):
                yield Problem(
                    "unknown-command", pod.where, f"{program} {command} is nothing the image can begin"
                )


def resources(world: World) -> Iterator[Problem]:
    for pod in world.pods():
        for container in pod.containers:
            said = container.get("resources", {})
            if not said.get("requests"):
                yield Problem("no-requests", pod.where, "asks for no memory and no processor")
            for name, value in said.get("requests", {}).items():
                limit = said.get("limits", {}).get(name)
                try:
                    if limit is not None and quantity(value) > quantity(limit):
                        yield Problem(
                            "over-limit", pod.where, f"asks for {name} {value}, more than its limit {limit}"
                        )
                except ValueError as error:
                    yield Problem("quantity", pod.where, str(error))
        for volume in pod.spec.get("volumes", []):
            try:
                quantity(volume.get("emptyDir", {}).get("sizeLimit", "1"))
            except ValueError as error:
                yield Problem("quantity", pod.where, str(error))


def quantity(text: str | int | float) -> Decimal:
    """Return a quantity of Kubernetes as a number.

    :raises ValueError: it is none.
    """
    found = QUANTITY.fullmatch(str(text))
    if not found:
        raise ValueError(f"{text!r} is no quantity")
    return Decimal(found[1]) * FACTORS[found[2] or ""]


def volumes(world: World) -> Iterator[Problem]:
    for pod in world.pods():
        there = {volume["name"] for volume in pod.spec.get("volumes", [])}
        mounted = [
            (mount["name"], mount["mountPath"])
            for each in pod.containers
            for mount in each.get("volumeMounts", [])
        ]
        for name, path in mounted:
            if name not in there:
                yield Problem("no-volume", pod.where, f"mounts {name} at {path}, which is no volume of it")
        for name in sorted(there - {name for name, _ in mounted}):
            yield Problem("unused-volume", pod.where, f"mounts {name} nowhere")
        for path, count in Counter(path for _, path in mounted).items():
            if count > 1:
                yield Problem("mounted-twice", pod.where, f"{count} volumes at {path}")


def security(world: World) -> Iterator[Problem]:
    for pod in world.pods():
        around = pod.spec.get("securityContext", {})
        wanted = {
            "is not kept from being root": around.get("runAsNonRoot") is True,
            "has no seccomp profile": around.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "is given a token of the cluster": pod.spec.get("automountServiceAccountToken") is False,
            "takes other Services' variables for settings": pod.spec.get("enableServiceLinks") is False,
        }
        for container in pod.containers:
            inside = container.get("securityContext", {})
            wanted |= {
                "may write its own code": inside.get("readOnlyRootFilesystem") is True,
                "may gain rights": inside.get("allowPrivilegeEscalation") is False,
                "keeps capabilities": inside.get("capabilities", {}).get("drop") == ["ALL"],
            }
        for says, is_so in wanted.items():
            if not is_so:
                yield Problem("security", pod.where, says)


def leaving(world: World) -> Iterator[Problem]:
    for pod in world.pods():
        for container in pod.containers:
            before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            if before and before >= pod.spec.get("terminationGracePeriodSeconds", 30):
                yield Problem("no-time-to-leave", pod.where, "is killed before its drain is over")


# ---- references


def references(world: World) -> Iterator[Problem]:
    for pod in world.pods():
        for kind, name, key in named_by(pod):
            yield from _reference(world, pod, kind, name, key)
    for authentication in world.of("TriggerAuthentication"):
        for target in authentication["spec"]["secretTargetRef"]:
            if target["name"] not in world.external.secrets:
                yield Problem("no-such", name_of(authentication), f"there is no Secret {target['name']}")
    for ingress in world.of("Ingress"):
        made = {each["spec"]["secretName"] for each in world.of("Certificate")}
        issued = any(key.startswith("cert-manager.io/") for key in ingress["metadata"].get("annotations", {}))
        for entry in ingress["spec"].get("tls", []):
            if entry["secretName"] not in made | world.external.secrets and not issued:
                yield Problem("no-such", name_of(ingress), f"nobody makes the Secret {entry['secretName']}")


def named_by(pod: PodOf) -> Iterator[tuple[str, str, str]]:
    """Yield what a pod cannot start without: kind, name, and the key of it or none."""
    yield "ServiceAccount", pod.spec.get("serviceAccountName", "default"), ""
    for secret in pod.spec.get("imagePullSecrets", []):
        yield "Secret", secret["name"], ""
    for container in pod.containers:
        for source in container.get("envFrom", []):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source and not source[field].get("optional"):
                    yield kind, source[field]["name"], ""
        for variable in container.get("env", []):
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if found := variable.get("valueFrom", {}).get(field):
                    yield kind, found["name"], found["key"]
    for volume in pod.spec.get("volumes", []):
        if found := volume.get("configMap"):
            yield "ConfigMap", found["name"], ""
        if found := volume.get("secret"):
            yield "Secret", found["secretName"], ""
        if found := volume.get("persistentVolumeClaim"):
            yield "PersistentVolumeClaim", found["claimName"], ""


def _reference(world: World, pod: PodOf, kind: str, name: str, key: str) -> Iterator[Problem]:
    outside = {
        "Secret": world.external.secrets,
        "ConfigMap": world.external.config_maps,
        "ServiceAccount": frozenset({"default"}),
    }
    if name in outside.get(kind, frozenset()):
        return
    found = world.find(kind, name)
    if found is None:
        yield Problem("no-such", pod.where, f"there is no {kind} {name}")
    elif not is_there_for(pod.owner, found):
        yield Problem(
            "hook-order", pod.where, f"needs {name_of(found)}, which comes later or is gone by then"
        )
    elif key and key not in found.get("data", {}):
        yield Problem("no-such", pod.where, f"{name_of(found)} has no key {key}")


def hook_jobs(world: World) -> Iterator[Problem]:
    for each in world.objects:
        if hooks(each) & set(INSTALL_HOOKS):
            said = each["metadata"]["annotations"]
            if "before-hook-creation" not in said.get("helm.sh/hook-delete-policy", ""):
                yield Problem("hook-stays", name_of(each), "is in the way of the next release's")
            if each["kind"] == "Job" and any(weight(other) >= weight(each) for other in _prepared(world)):
                yield Problem("hook-order", name_of(each), "runs before what it needs")


def _prepared(world: World) -> list[Object]:
    """Return the hooks that are there for the sake of a Job."""
    return [each for each in world.objects if hooks(each) & set(INSTALL_HOOKS) and each["kind"] != "Job"]


# ---- scaling and time


def scaling(world: World) -> Iterator[Problem]:
    targets: list[str] = []
    for scaler in world.of("HorizontalPodAutoscaler", "ScaledObject"):
        spec, reference = scaler["spec"], scaler["spec"]["scaleTargetRef"]
        targets.append(reference["name"])
        target = world.find(reference.get("kind", "Deployment"), reference["name"])
        if target is None:
            yield Problem("no-target", name_of(scaler), f"there is no {reference['name']} to scale")
        elif "replicas" in target["spec"]:
            yield Problem("replicas-fixed", name_of(target), f"sets replicas, which {name_of(scaler)} does")
        if _least(spec) > spec.get("maxReplicas", spec.get("maxReplicaCount")):
            yield Problem("min-over-max", name_of(scaler), "may have fewer pods than it must")
    for name, count in Counter(targets).items():
        if count > 1:
            yield Problem("scaled-twice", f"Deployment/{name}", f"{count} scalers pull at it")


def _least(spec: Object) -> int:
    return int(spec.get("minReplicas") or spec.get("minReplicaCount") or 0)


def budgets(world: World) -> Iterator[Problem]:
    for budget in world.of("PodDisruptionBudget"):
        spec = budget["spec"]
        for pod in world.serving():
            if matches(spec["selector"], pod.labels) and _leaves_none(spec, _pods_of(world, pod.owner)):
                yield Problem("budget-blocks", name_of(budget), "lets no pod go: no node can be emptied")


def _pods_of(world: World, deployment: Object) -> int:
    if "replicas" in deployment["spec"]:
        return int(deployment["spec"]["replicas"])
    name = deployment["metadata"]["name"]
    scalers = world.of("HorizontalPodAutoscaler", "ScaledObject")
    return max(
        (_least(each["spec"]) for each in scalers if each["spec"]["scaleTargetRef"]["name"] == name),
        default=1,
    )


def _leaves_none(spec: Object, pods: int) -> bool:
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if isinstance(least, int):
        return least >= pods
    return least == "100%" or most in (0, "0%")


def schedules(world: World) -> Iterator[Problem]:
    for each in world.of("CronJob"):
        try:
            next(CronSim(each["spec"]["schedule"], now()))
        except (CronSimError, StopIteration):
            yield Problem("schedule", name_of(each), f"{each['spec']['schedule']!r} is no time")
        try:
            ZoneInfo(each["spec"].get("timeZone", "Etc/UTC"))
        except (ZoneInfoNotFoundError, ValueError):
            yield Problem("schedule", name_of(each), f"there is no time zone {each['spec']['timeZone']!r}")


CHECKS: tuple[Check, ...] = (
    names,
    selectors,
    services,
    routes,
    probes,
    containers,
    settings,
    commands,
    resources,
    volumes,
    security,
    leaving,
    references,
    hook_jobs,
    scaling,
    budgets,
    schedules,
    network.reachable,
)
