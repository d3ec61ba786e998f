"""The transcript of docs/api.md: what curl is told by a running web, with a worker behind it.

    python -m tests.api_page          writes it anew

All commands of a transcript are run by one shell, so that what one sets the next has.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.source import ROOT

PAGE = ROOT / "docs" / "api.md"
BLOCK = re.compile(r"(<!-- run by tests/test_api_page\.py::\w+ -->\n```console\n)(.*?)(```\n)", re.DOTALL)
ORDERS = "id,customer,amount,ordered\n1,Ada,12.50,2026-08-24\n2,Blaise,8.00,2026-08-25\n3,Charles,99.95,2026-08-26\n"
NEXT = (
    "id,customer,amount,ordered\n3,Charles,89.95,2026-08-26\n4,Emmy,7.25,2026-11-02\n5,Kurt,lots,2026-11-03\n"
)
SCENE = (
    "migrate_tenants",
    "provision_tenant acme --admin owner@acme.example --password correct-horse-battery",
    "create_dataset --tenant acme --name Orders --infer orders.csv --key id",
    "import_file orders.csv --tenant acme --dataset orders",
    "export_datasets --tenant acme",
)
MAKE_TOKEN = """
import django
django.setup()
from accounts.command import active_tenant
from accounts.models import User
from accounts.tokens.services import create_token
from core.tenancy import in_tenant
with in_tenant(active_tenant("acme")):
    owner = User.objects.get(email="owner@acme.example")
    print(create_token(user=owner, name="Nightly", scopes=["read", "import", "export"])[1])
"""
# What differs from run to run: moments, hashes, numbers of jobs, and the port.
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)"), "…"),
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "…"),
    (re.compile(r"\d{8}T\d{6}Z"), "…Z"),
    (re.compile(r'"job":\d+'), '"job":…'),
    (re.compile(r"\.localhost:\d+"), ".localhost:…"),
)
START_SECONDS = 120


def shown(text: str) -> str:
    """Return the transcript as the page has it."""
    found = BLOCK.search(text)
    assert found, "docs/api.md has no transcript."
    return found[2]


def masked(transcript: str) -> str:
    """Return a transcript without what differs from run to run."""
    for pattern, instead in VARYING:
        transcript = pattern.sub(instead, transcript)
    return transcript


@contextmanager
def serving(url: str, folder: Path, port: int) -> Iterator[dict[str, str]]:
    """Serve a tenant with orders by a web and a worker; yield the environment of a shell with a token."""
    (folder / "orders.csv").write_text(ORDERS, encoding="utf-8")
    (folder / "november.csv").write_text(NEXT, encoding="utf-8")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    environment = {
        **os.environ, "DATABASE_URL": url, "ROWHOUSE_DATA": str(folder / "data"), "PATH": programs,
        "ROWHOUSE_SPARE_SCHEMAS": "0", "PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": "rowhouse.settings",
    }  # fmt: skip

    def said(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for command in SCENE:
        said("rowhouse", *shlex.split(command))
    token = said(sys.executable, "-c", MAKE_TOKEN).split()[-1]
    web = (
        sys.executable,
        "-m",
        "gunicorn",
        "rowhouse.wsgi",
        "--bind",
        f"127.0.0.1:{port}",
        "--no-control-socket",
    )
    with (folder / "log").open("w") as log:
        running = [
            subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
            for command in (web, ("rowhouse", "worker"))
        ]
    shell = {**environment, "TOKEN": token, "API": f"http://acme.localhost:{port}/api/v1"}
    try:
        deadline = time.monotonic() + START_SECONDS
        asked = ("curl", "-sf", "-H", f"Authorization: Bearer {token}", f"{shell['API']}/token")
        while subprocess.run(asked, capture_output=True, check=False).returncode:
            assert all(one.poll() is None for one in running), (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield shell
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait(40)


def run(transcript: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a transcript's commands in one shell; return it with what they print now."""
    commands = [line.removeprefix("$ ") for line in transcript.splitlines() if line.startswith("$ ")]
    script = "\n".join(f"printf '%s\\n' {shlex.quote('$ ' + command)}\n{command}" for command in commands)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
    )  # fmt: skip
    return done.stdout


def main() -> None:
    from core.embedded import EmbeddedServer  # noqa: PLC0415 -- only to write the page

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rowhouse.settings")
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the embedded server runs as a user of its own
        server = EmbeddedServer(folder / "postgres")
        server.start()
        try:
            with serving(server.url(), folder, 8765) as environment:
                now = run(shown(text), folder, environment)
        finally:
            server.stop_if_idle()
    now = now.replace(":8765", ":8000")
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + now + found[3], text), encoding="utf-8")


if __name__ == "__main__":
    main()
