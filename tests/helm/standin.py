"""What stands in for a cluster's API server when Helm installs, upgrades and rolls back: it keeps objects, and no more.

It speaks as much of the protocol as Helm asks for (discovery, create, apply, list, watch, delete), refuses what
Kubernetes' strict schemas refuse and what cannot be changed, and lets a Job end: well when everything it names is
there, badly otherwise and when a test says so. It has no admission, no defaults, no controllers and no pods.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import yaml

from tests.helm.engine import faults, versions
from tests.helm.meaning import named_by
from tests.helm.objects import Object, PodOf

VERSION = versions()[-1]
KINDS = {
    "ConfigMap": ("v1", "configmaps"),
    "Service": ("v1", "services"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "Pod": ("v1", "pods"),
    "Deployment": ("apps/v1", "deployments"),
    "Job": ("batch/v1", "jobs"),
    "CronJob": ("batch/v1", "cronjobs"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
}
KIND_OF = {plural: kind for kind, (_, plural) in KINDS.items()}


class Refused(Exception):
    """The server refuses; `code` is HTTP's, `reason` Kubernetes'."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass
class Cluster:
    """The objects of one namespace, and what was done, in order: `create Job/rowhouse-migrate-1`."""

    secrets: frozenset[str]
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    events: list[tuple[str, Object]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    jobs_fail: bool = False

    def names(self, kind: str) -> list[str]:
        return sorted(name for found, name in self.objects if found == kind)

    def one(self, kind: str, name: str) -> Object:
        if (kind, name) not in self.objects:
            raise Refused(404, "NotFound", f'{KINDS[kind][1]} "{name}" not found')
        return self.objects[kind, name]

    def after(self, told: int) -> list[tuple[str, Object]]:
        """Return the events after the first so many; waits a moment for one."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.events) > told, timeout=0.1)
            return self.events[told:]

    def put(self, each: Object, *, create: bool) -> Object:
        """Keep an object that was created, or applied as a whole."""
        with self.changed:
            kind, name = each["kind"], each["metadata"]["name"]
            old = self.objects.get((kind, name))
            if old and create:
                raise Refused(409, "AlreadyExists", f"{kind} {name} already exists")
            bare = {key: value for key, value in each.items() if key != "status"}
            if said := faults(_without_servers_fields(bare), VERSION):
                raise Refused(422, "Invalid", f"{kind} {name}: {'; '.join(said)}")
            _refuse_changes(old, each)
            each["metadata"] |= _metadata(old, len(self.events) + 1)
            if kind == "Job":
                each["status"] = self._end_of(each)
            self.objects[kind, name] = each
            self._note("apply" if old else "create", each, "MODIFIED" if old else "ADDED")
            return each

    def remove(self, kind: str, name: str) -> Object:
        with self.changed:
            gone = self.one(kind, name)
            del self.objects[kind, name]
            self._note("delete", gone, "DELETED")
            return gone

    def _note(self, verb: str, each: Object, event: str) -> None:
        self.done.append(f"{verb} {each['kind']}/{each['metadata']['name']}")
        self.events.append((event, each))
        self.changed.notify_all()

    def _end_of(self, job: Object) -> Object:
        template = job["spec"]["template"]
        pod = PodOf(job, template["metadata"]["labels"], template["spec"])
        missing = [
            name
            for kind, name, _ in named_by(pod)
            if (kind, name) not in self.objects and not (kind == "Secret" and name in self.secrets)
        ]
        ended = "Failed" if missing or self.jobs_fail else "Complete"
        conditions = [{"type": ended, "status": "True", "reason": "Ended", "message": ", ".join(missing)}]
        return {
            "conditions": conditions,
            "succeeded": int(ended == "Complete"),
            "failed": int(ended == "Failed"),
        }


def _without_servers_fields(each: Object) -> Object:
    ours = {
        key: value
        for key, value in each["metadata"].items()
        if key in {"name", "namespace", "labels", "annotations"}
    }
    return {**each, "metadata": ours}


def _refuse_changes(old: Object | None, new: Object) -> None:
    """Refuse what a server lets nobody change."""
    for path in {"Deployment": ("selector",), "Job": ("template", "selector")}.get(new["kind"], ()):
        if old and old["spec"].get(path) != new["spec"].get(path):
            raise Refused(422, "Invalid", f"spec.{path}: field is immutable")


def _metadata(old: Object | None, version: int) -> dict[str, Any]:
    said = old["metadata"] if old else {}
    return {
        "uid": said.get("uid") or str(uuid4()),
        "resourceVersion": str(version),
        "generation": said.get("generation", 0) + 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }


def _resources(group_version: str) -> Object:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": [
            {
                "name": plural,
                "namespaced": True,
                "kind": kind,
                "verbs": ["create", "delete", "get", "list", "patch", "watch"],
            }
            for kind, (found, plural) in KINDS.items()
            if found == group_version
        ],
    }


def _groups() -> Object:
    names = sorted({found for found, _ in KINDS.values() if "/" in found})
    versions_of = [{"groupVersion": name, "version": name.partition("/")[2]} for name in names]
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {"name": each["groupVersion"].partition("/")[0], "versions": [each], "preferredVersion": each}
            for each in versions_of
        ],
    }


def _path(group_version: str) -> str:
    return f"apis/{group_version}" if "/" in group_version else f"api/{group_version}"


def _openapi(group_version: str) -> Object:
    """Say that fields are checked here, so that Helm leaves it to the server."""
    group, _, version = group_version.rpartition("/")
    checked = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
    return {
        "openapi": "3.0.0",
        "info": {"title": "stand-in", "version": "1"},
        "paths": {
            f"/{_path(group_version)}/namespaces/{{namespace}}/{plural}/{{name}}": {
                "patch": {
                    "parameters": checked,
                    "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
                    "responses": {},
                }
            }
            for kind, (found, plural) in KINDS.items()
            if found == group_version
        },
    }


def _documents() -> dict[str, Object]:
    """Return what is the same for every cluster, by path."""
    group_versions = {found for found, _ in KINDS.values()}
    found: dict[str, Object] = {
        "/version": {"major": "1", "minor": VERSION.partition(".")[2], "gitVersion": f"v{VERSION}.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": _groups(),
        "/openapi/v3": {
            "paths": {
                _path(each): {"serverRelativeURL": f"/openapi/v3/{_path(each)}"} for each in group_versions
            }
        },
    }
    for each in group_versions:
        found[f"/{_path(each)}"] = _resources(each)
        found[f"/openapi/v3/{_path(each)}"] = _openapi(each)
    return found


DOCUMENTS = _documents()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_one(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = {key: values[-1] for key, values in parse_qs(url.query).items()}
        try:
            if url.path in DOCUMENTS:
                self._answer(200, DOCUMENTS[url.path])
            elif asked.get("watch") == "true":
                self._watch(self._named(url.path)[0], asked)
            else:
                self._answer(*self._act(url.path, asked, body))
        except Refused as refused:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": str(refused)}
            self._answer(refused.code, status | {"reason": refused.reason, "code": refused.code})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_one

    def _named(self, path: str) -> tuple[str, str]:
        """Return the kind and the name (or none) of `/apis/apps/v1/namespaces/rowhouse/deployments/x`."""
        words = path.strip("/").split("/")
        if "namespaces" not in words:
            raise Refused(404, "NotFound", f"there is nothing at {path}")
        plural, *name = words[words.index("namespaces") + 2 :] or [""]
        if plural not in KIND_OF:
            raise Refused(404, "NotFound", f"there is no resource {plural}")
        return KIND_OF[plural], name[0] if name else ""

    def _act(self, path: str, asked: dict[str, str], body: bytes) -> tuple[int, Object]:
        kind, name = self._named(path)
        match self.command:
            case "GET" if name:
                return 200, self.cluster.one(kind, name)
            case "GET":
                return 200, self._list(kind, asked)
            case "POST":
                return 201, self.cluster.put(yaml.safe_load(body), create=True)
            case "PATCH" if "apply-patch" in self.headers["Content-Type"]:
                return 200, self.cluster.put(yaml.safe_load(body), create=False)
            case "DELETE":
                return 200, self.cluster.remove(kind, name)
        raise Refused(405, "MethodNotAllowed", f"{self.command} {self.headers.get('Content-Type')}")

    def _list(self, kind: str, asked: dict[str, str]) -> Object:
        wanted = asked.get("fieldSelector", "").removeprefix("metadata.name=")
        items = [
            each
            for (found, name), each in self.cluster.objects.items()
            if found == kind and wanted in ("", name)
        ]
        return {
            "kind": f"{kind}List",
            "apiVersion": KINDS[kind][0],
            "metadata": {"resourceVersion": str(len(self.cluster.events))},
            "items": items,
        }

    def _watch(self, kind: str, asked: dict[str, str]) -> None:
        """Tell a kind's events from a version on, until whoever asked goes away; first what there is, if asked."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        told = int(asked.get("resourceVersion") or 0)
        if asked.get("sendInitialEvents") == "true":
            with self.cluster.changed:
                there = [each for (found, _), each in self.cluster.objects.items() if found == kind]
                told = len(self.cluster.events)
            for each in there:
                self._tell("ADDED", each)
            end = {"resourceVersion": str(told), "annotations": {"k8s.io/initial-events-end": "true"}}
            self._tell("BOOKMARK", {"kind": kind, "apiVersion": KINDS[kind][0], "metadata": end})
        while not self.server.stopping:  # type: ignore[attr-defined]
            for event, each in self.cluster.after(told):
                told += 1
                if each["kind"] == kind:
                    self._tell(event, each)
        self.wfile.write(b"0\r\n\r\n")

    def _tell(self, event: str, each: Object) -> None:
        line = json.dumps({"type": event, "object": each}).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def _answer(self, code: int, document: Object) -> None:
        data = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    """Serve a cluster on this machine and give its address."""
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.stopping = False  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.stopping = True  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join()
