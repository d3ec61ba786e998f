"""The N-th call of the storage goes wrong: by an error, a timeout, or done but with its answer lost.

On a folder the calls are those of `core.storage`; on S3 they are the requests a real server gets.
"""

from __future__ import annotations

import errno
import io
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

from exporter.tests import s3 as servers
from exporter.tests.s3 import Faults, S3Server

HOWS = ("error", "timeout", "lost")
CALLS = ("_writer", "delete", "exists", "size", "list_keys")
READ_TIMEOUT_SECONDS = 0.4


@dataclass(slots=True)
class Calls:
    """Which call goes wrong and how; from the first such call on, `times` of them do."""

    how: str = ""
    number: int = 0
    times: int = 1
    is_armed: bool = False
    seen: int = 0
    struck: str = ""

    @property
    def is_hit(self) -> bool:
        return bool(self.struck)

    @property
    def events(self) -> int:
        return self.seen

    def set(self, how: str, number: int, times: int = 1) -> None:
        self.how, self.number, self.times, self.seen, self.struck = how, number, times, 0, ""

    def next(self, what: str) -> str:
        """Count a call and return how it must go wrong, if it must."""
        if not self.is_armed:
            return ""
        if what == "forget_local_copy" and self.times > 1:
            return ""  # a cache of this machine; it does not fail with the storage
        self.seen += 1
        if not 0 < self.number <= self.seen < self.number + self.times:
            return ""
        self.struck = self.struck or what
        return self.how

    def around[**P, R](self, what: str, call: Callable[P, R]) -> Callable[P, R]:
        """Return the call with the plan asked first."""

        def called(*arguments: P.args, **options: P.kwargs) -> R:
            how = self.next(what)
            if how == "error":
                raise OSError(errno.EIO, "planted")
            if how == "timeout":
                raise TimeoutError("planted")
            result = call(*arguments, **options)
            if how == "lost":
                raise OSError(errno.EIO, "planted: done, but the answer was lost")
            return result

        return called


@contextmanager
def local(calls: Calls) -> Iterator[None]:
    """Put the plan into `core.storage`, between this process and its folder."""
    from core import storage  # noqa: PLC0415 -- after the settings

    open_read = storage.LocalStore.open_read

    def open_read_faultily(store: storage.LocalStore, key: str) -> Any:
        source = open_read(store, key)
        whole = io.BytesIO(source.read())
        source.close()
        whole.read = calls.around("read", whole.read)  # type: ignore[method-assign]
        return whole

    places: list[tuple[Any, str]] = [(storage.LocalStore, name) for name in CALLS]
    places += [
        (storage, "forget_local_copy"),
        (storage.LocalWriter, "_send"),
        (storage.LocalWriter, "finish"),
    ]
    patches = [patch.object(place, name, calls.around(name, getattr(place, name))) for place, name in places]
    reading = calls.around("open_read", open_read_faultily)
    patches.append(patch.object(storage.LocalStore, "open_read", reading))
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()


@dataclass
class Requests(Faults):
    """Every request to the S3 server counts, not only those that change something."""

    calls: Calls = field(default_factory=Calls)

    def __call__(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            how = self.calls.next(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            if not how:
                return app(environ, start_response)
            if how == "lost":
                list(app(environ, lambda *_: None))
            else:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            if how == "timeout":
                time.sleep(READ_TIMEOUT_SECONDS * 1.5)
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]

        return wrapped


@contextmanager
def s3(calls: Calls) -> Iterator[S3Server]:
    """Run an S3 server behind the plan, and keep this process's files there meanwhile."""
    from botocore.config import Config  # noqa: PLC0415 -- slow import
    from django.conf import settings  # noqa: PLC0415 -- after the settings
    from django.test.utils import override_settings  # noqa: PLC0415 -- after the settings

    logging.getLogger("werkzeug").setLevel(
        logging.ERROR
    )  # else it sets a level of its own, and tells of each request
    with patch.object(servers, "Faults", partial(Requests, calls=calls)), servers.moto_server() as server:
        default = server.storages()
        patience = Config(read_timeout=READ_TIMEOUT_SECONDS)
        default["OPTIONS"]["client_config"] = server.config().merge(patience)
        with override_settings(STORAGES={**settings.STORAGES, "default": default}):
            yield server
