"""The storage's name is not known, or its server does not prove itself: tried again, then told with the cause."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.tenancy import TenantRef, in_tenant
from exporter.models import ExportFile, State
from exporter.services import verify_exports
from exporter.tests.helpers import content, dataset_with, export, insert
from exporter.tests.s3 import S3Server
from jobs.limits import MAX_ATTEMPTS

DAY = dt.timedelta(days=1)
PIECE = 65536
HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@dataclass(frozen=True)
class Certificates:
    """An authority, and the files of certificates it (or nobody) has signed."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def trusted(self) -> str:
        """Return the file that makes a client trust this authority."""
        path = self.folder / "authority.pem"
        if not path.exists():
            path.write_bytes(self._signed("authority", self.key, self.key, is_authority=True))
        return str(path)

    def of(self, name: x509.GeneralName, *, until: dt.timedelta = DAY, is_known: bool = True) -> Path:
        """Return a file with a server's key and its certificate for `name`."""
        own = ec.generate_private_key(ec.SECP256R1())
        signed = self._signed("server", own, self.key if is_known else own, names=[name], until=until)
        secret = own.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.folder / "server.pem"
        path.write_bytes(secret + signed)
        return path

    def _signed(
        self,
        subject: str,
        own: ec.EllipticCurvePrivateKey,
        signer: ec.EllipticCurvePrivateKey,
        *,
        names: list[x509.GeneralName] | None = None,
        until: dt.timedelta = DAY,
        is_authority: bool = False,
    ) -> bytes:
        now = dt.datetime.now(dt.UTC)
        issuer = "authority" if signer is self.key else subject
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(issuer))
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
        )
        if is_authority:
            usage = dict.fromkeys(
                (
                    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
                    "key_agreement", "encipher_only", "decipher_only",
                ),
                False,
            )  # fmt: skip
            made = made.add_extension(
                x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True
            )
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Front:
    """A server of TLS before an S3 server: it passes on what it reads, or breaks off the first `broken` connections."""

    def __init__(self, behind: S3Server, certificate: Path | None, *, broken: int = 0) -> None:
        address = urlsplit(behind.endpoint)
        self.behind = (str(address.hostname), int(address.port or 80))
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.broken = broken
        self.connections = 0
        self.requests: list[bytes] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"https://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection, self.connections), daemon=True).start()

    def _answer(self, plain: socket.socket, number: int) -> None:
        with suppress(OSError), plain:
            if self.context is None or number <= self.broken:
                plain.recv(PIECE)
                plain.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")  # no TLS at all
                return
            with (
                self.context.wrap_socket(plain, server_side=True) as secure,
                socket.create_connection(self.behind) as inner,
            ):
                back = threading.Thread(target=_pass, args=(inner, secure), daemon=True)
                back.start()
                _pass(secure, inner, self.requests)
                back.join()


def _pass(source: socket.socket, target: socket.socket, seen: list[bytes] | None = None) -> None:
    with suppress(OSError):
        while data := source.recv(PIECE):
            if seen is not None:
                seen.append(data)
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def front(behind: S3Server, certificate: Path | None, *, broken: int = 0) -> Iterator[Front]:
    made = Front(behind, certificate, broken=broken)
    try:
        yield made
    finally:
        made.listening.close()


def keep_at(settings: Any, server: S3Server, endpoint: str, authority: str) -> None:
    """Keep the platform's files at an address of a server, trusting one authority."""
    entry = server.storages()
    options = {**entry["OPTIONS"], "endpoint_url": endpoint, "verify": authority}
    settings.STORAGES = {**settings.STORAGES, "default": {**entry, "OPTIONS": options}}


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


# ---- what it cannot prove

BROKEN: dict[str, tuple[Callable[[Certificates], Path | None], str]] = {
    "signed by nobody known": (
        lambda made: made.of(HERE, is_known=False),
        "its certificate is not one to trust",
    ),
    "out of date": (lambda made: made.of(HERE, until=-DAY), "its certificate is not one to trust"),
    "for another name": (
        lambda made: made.of(x509.DNSName("s3.example.com")),
        "its certificate is not one to trust",
    ),
    "no TLS": (lambda _: None, "no secure connection could be made"),
}


@pytest.mark.case("I29")
@pytest.mark.parametrize("name", BROKEN)
def test_a_server_that_does_not_prove_itself_gets_nothing_and_the_run_says_why(
    pair: list[TenantRef], moto: S3Server, certificates: Certificates, settings: Any, name: str
) -> None:
    make, cause = BROKEN[name]
    for tenant in pair:
        with in_tenant(tenant):
            dataset_with([["1", f"canary of {tenant.slug}"]])
    with in_tenant(pair[0]), front(moto, make(certificates)) as server:
        keep_at(settings, moto, server.endpoint, certificates.trusted)
        run = export()
        files = ExportFile.objects.count()

    assert (run.state, run.error_code, cause in run.error) == (State.FAILED, "storage-unreachable", True)
    assert server.endpoint not in run.error and moto.bucket not in run.error
    assert server.connections >= MAX_ATTEMPTS  # each try of the job asked again
    assert server.requests == []  # neither a signature nor a value has left
    assert (moto.keys(), moto.open_uploads(), files) == ([], [], 0)


@pytest.mark.case("I29")
def test_a_server_whose_name_is_not_known_is_asked_again_and_the_run_says_why(
    t1: TenantRef, moto: S3Server, certificates: Certificates, settings: Any
) -> None:
    dataset_with([["1", "a"]])
    keep_at(settings, moto, "https://no-such-server.invalid:9000", certificates.trusted)

    run = export()

    assert (run.state, run.error_code) == (State.FAILED, "storage-unreachable")
    assert run.error == (
        "The platform's storage does not answer: its name is not found in the DNS. Try again later; if this stays, "
        "tell an operator."
    )
    assert (moto.keys(), ExportFile.objects.count()) == ([], 0)


@pytest.mark.case("I29")
def test_what_was_exported_before_stands_and_the_next_run_makes_up_for_the_failed_one(
    t1: TenantRef, moto: S3Server, certificates: Certificates, settings: Any
) -> None:
    dataset = dataset_with([["1", "a"]])
    good = certificates.of(HERE)
    with front(moto, good) as server:
        keep_at(settings, moto, server.endpoint, certificates.trusted)
        before = export()
    insert(dataset, [["2", "b"]])
    keep_at(settings, moto, server.endpoint, certificates.trusted)  # nobody listens there any more
    failed = export()
    with front(moto, good) as server:
        keep_at(settings, moto, server.endpoint, certificates.trusted)
        after = export()
        told = [content(run.files.get()) for run in (before, after)]
        faults = {file.fault for file in verify_exports(now=dt.datetime.now(dt.UTC))}

    assert [run.state for run in (before, failed, after)] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert told == [b"id,note\n1,a\n", b"id,note\n1,a\n2,b\n"]
    assert faults == {""}


@pytest.mark.case("I29")
def test_a_handshake_that_fails_at_first_is_tried_again_and_one_file_is_there(
    t1: TenantRef, moto: S3Server, certificates: Certificates, settings: Any
) -> None:
    dataset_with([["1", "a"]])
    with front(moto, certificates.of(HERE), broken=2) as server:
        keep_at(settings, moto, server.endpoint, certificates.trusted)
        run = export()
        file = run.files.get()
        assert content(file) == b"id,note\n1,a\n"

    assert run.state == State.SUCCEEDED
    assert server.connections > 2
    stored = moto.keys()
    assert [key for key in stored if "/orders_" in key] == [file.key]
