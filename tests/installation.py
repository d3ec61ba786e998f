"""The wheel in a clean place, as operators install it: read-only code, nobody's user, processes as process 1."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.source import ROOT

WAIT_SECONDS = 120
IS_ROOT = os.geteuid() == 0
# What a process of an image is started with: another user, no capability, no way to more, and no process before it.
AS_NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--inh-caps=-all",
    "--bounding-set=-all", "--",
)  # fmt: skip
IN_IMAGE = ROOT / "deploy" / "dev" / "in-image.sh"
AS_PROCESS_ONE = ("unshare", "--pid", "--mount-proc", "--fork", "--kill-child", "--")


@dataclass(slots=True)
class Installation:
    """What requirements-runtime.lock holds and the wheel, in a folder nobody may write to: a venv's, or an image's.

    `code` and `writable` are where they lie; a process in an image sees `writable` as its own data folder.
    """

    code: Path
    writable: Path
    image: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def bin(self) -> str:
        return "/app/bin" if self.image else str(self.code / "venv" / "bin")

    @property
    def command(self) -> str:
        return f"{self.bin}/rowhouse"

    def seen(self, name: str) -> str:
        """Return the path of a file in the writable folder as a process here sees it."""
        return f"/var/lib/rowhouse/{name}" if self.image else str(self.writable / name)

    def variables(self, **more: str) -> dict[str, str]:
        """Return the whole environment of a process: nothing of this one's, but what an image says itself."""
        own = {
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "ROWHOUSE_DATA": "/var/lib/rowhouse" if self.image else str(self.writable),
            "ROWHOUSE_STATIC_ROOT": "/app/static" if self.image else str(self.code / "static"),
        }
        if not self.image:
            own["TMPDIR"] = str(self.writable / "tmp")
            own["LD_LIBRARY_PATH"] = str(Path(open_python()).parents[1] / "lib")
        return {**own, **self.environment, **more}

    def _started_by(self, *, as_process_one: bool) -> tuple[str, ...]:
        if self.image:
            return ("sh", str(IN_IMAGE), str(self.image), str(self.writable))
        if not IS_ROOT:
            return ()
        return (*(AS_PROCESS_ONE if as_process_one and shutil.which("unshare") else ()), *AS_NOBODY)

    def run(self, *words: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command as nobody."""
        done = subprocess.run(
            [*self._started_by(as_process_one=False), *words], env=self.variables(**more), cwd=self.writable,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done

    def rowhouse(self, *words: str) -> dict[str, Any]:
        """Run a command of ours and return the JSON it printed."""
        found: dict[str, Any] = json.loads(self.run(self.command, *words, "--json").stdout)
        return found

    def start(self, name: str, *words: str, **more: str) -> Running:
        """Start a process as nobody and, where that can be, as process 1."""
        log = self.writable.parent / f"{name}.log"
        before = self._started_by(as_process_one=True)
        with log.open("w") as output:
            process = subprocess.Popen(
                [*before, *words], env=self.variables(**more), cwd=self.writable, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        return Running(process, log, is_wrapped=bool(self.image) or "unshare" in before)


@dataclass(slots=True)
class Running:
    """A process that was started, and the log it writes."""

    process: subprocess.Popen[bytes]
    log: Path
    is_wrapped: bool

    @property
    def pid(self) -> int:
        """The process itself, and not what started it."""
        if not self.is_wrapped:
            return self.process.pid
        pid = self.process.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    def told(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, as an engine does to a container, and return the exit code."""
        os.kill(self.pid, number)
        return self.process.wait(WAIT_SECONDS)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(WAIT_SECONDS)


def build_wheel(folder: Path) -> Path:
    """Build the wheel as the Dockerfile does."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT, env={**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return wheel


@contextmanager
def installed() -> Iterator[Installation]:
    """Install the wheel and what runs beside it, collect static files, and take the right to write from everybody."""
    # Not pytest's own folder, where only this user may go.
    place = Path(tempfile.mkdtemp(prefix="rowhouse-wheel-", dir="/var/tmp"))
    place.chmod(0o755)
    code, writable = place / "code", place / "data"
    try:
        (place / "dist").mkdir()
        wheel = build_wheel(place / "dist")
        python = code / "venv" / "bin" / "python"
        subprocess.run([open_python(), "-m", "venv", "--without-pip", str(code / "venv")], check=True)
        lock = str(ROOT / "requirements-runtime.lock")
        install(python, "--require-hashes", "--requirement", lock)
        install(python, "--no-deps", "--no-index", str(wheel))
        writable.mkdir()
        (writable / "tmp").mkdir()
        found = Installation(code, writable)
        # As in the Dockerfile: no database, no secret.
        subprocess.run(
            [found.command, "collectstatic", "--no-input", "--verbosity", "0"],
            env={**found.variables(), "DATABASE_URL": "postgresql://nobody@localhost/nothing"}, check=True,
        )  # fmt: skip
        subprocess.run(
            [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", code / "venv" / "lib"],
            check=True,
        )  # fmt: skip
        subprocess.run(["chmod", "-R", "a-w,a+rX", str(code)], check=True)
        if IS_ROOT:
            nobody = pwd.getpwuid(65534)
            for folder in (writable, writable / "tmp"):
                os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        yield found
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(place)], check=False)
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def in_image(root: Path) -> Iterator[Installation]:
    """Take the image whose files deploy/dev/image.sh has printed the place of."""
    place = Path(tempfile.mkdtemp(prefix="rowhouse-wheel-", dir="/var/tmp"))
    place.chmod(0o755)
    try:
        writable = place / "data"
        writable.mkdir()
        os.chown(writable, 10001, 10001)
        yield Installation(root / "app", writable, root)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def install(python: Path, *words: str) -> None:
    """Install into a venv by uv, or by pip where there is none; copied, so that no cache has its rights changed."""
    own = ROOT / ".rowhouse" / "uv" / "bin" / "uv"
    if uv := shutil.which("uv") or (str(own) if own.exists() else None):
        command = [uv, "pip", "install", "--quiet", "--link-mode", "copy", "--python", str(python)]
    else:
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def open_python() -> str:
    """Return a Python that nobody may run: this one, or a copy of it where everybody may go."""
    base = Path(sys.base_prefix)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not IS_ROOT or all(one.stat().st_mode & 0o001 for one in (base, *base.parents)):
        return str(base / "bin" / name)
    copy = Path("/var/tmp") / f"rowhouse-{name}-{(base / 'bin' / name).stat().st_mtime:.0f}"
    if not copy.exists():
        part = Path(tempfile.mkdtemp(prefix="rowhouse-python-", dir="/var/tmp"))
        left_out = shutil.ignore_patterns("test", "site-packages", "__pycache__", "*.a", "share")
        shutil.copytree(base, part, symlinks=True, dirs_exist_ok=True, ignore=left_out)
        part.chmod(0o755)
        part.rename(copy)
    return str(copy / "bin" / name)


# ---- a browser's part


@dataclass(slots=True)
class Page:
    """An answer: `url` is where redirects led to."""

    status: int
    url: str
    text: str
    headers: dict[str, str]

    def field(self, name: str) -> str:
        """Return the value of a hidden field."""
        found = re.search(rf'<input[^>]*\bname="{name}"[^>]*\bvalue="([^"]*)"', self.text)
        assert found, f"no {name} on {self.url}: {self.text[:2000]}"
        return found[1]


@dataclass(slots=True)
class Browser:
    """Speaks to a web behind a proxy: one host, over TLS as the proxy says, with the cookies it is given."""

    port: int
    host: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Page:
        return self._ask("GET", path)

    def post(self, path: str, values: dict[str, str], files: Sequence[tuple[str, str, bytes]] = ()) -> Page:
        """Send a form that was shown at `path` or leads there, and follow where the answer leads."""
        if not files:
            body, kind = urlencode(values).encode(), "application/x-www-form-urlencoded"
            return self._ask("POST", path, body, kind)
        mark = secrets.token_hex(12)
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in values.items()
        ]
        for name, file, content in files:
            head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'
            parts.append(head.encode() + content + b"\r\n")
        body = b"".join(parts) + f"--{mark}--\r\n".encode()
        return self._ask("POST", path, body, f"multipart/form-data; boundary={mark}")

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Page:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {
            "Host": self.host,
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.7",
            "Referer": f"https://{self.host}{path}",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
        }
        if kind:
            headers["Content-Type"] = kind
        try:
            link.request(method, path, body, headers)
            answer = link.getresponse()
            text = answer.read().decode("utf-8", "replace")
        finally:
            link.close()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        if answer.status in {301, 302, 303}:
            to = urlsplit(answer.headers["Location"])
            return self._ask("GET", to.path + (f"?{to.query}" if to.query else ""))
        return Page(answer.status, path, text, dict(answer.headers))


def wait_for(what: str, look: Any, running: Sequence[Running] = ()) -> Any:
    """Look until something is there, and return it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := look()):
        for one in running:
            assert one.process.poll() is None, one.log.read_text()
        assert time.monotonic() < deadline, what + "".join(one.log.read_text() for one in running)
        time.sleep(0.2)
    return found
