"""Domains of a tenant's own, with a name server of ours that answers in the real format."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client

from audit.models import Event
from core import dns
from core.clock import now
from tenants.domains import (
    BadDomain,
    ClaimEnded,
    DomainNeeded,
    DomainTaken,
    NotVerified,
    claim_domain,
    instructions,
    make_primary,
    remove_domain,
    verify_domain,
)
from tenants.models import Domain, DomainClaim, Tenant

NAME = "data.customer.example"


class NameServer:
    """Answers questions for texts and addresses, over UDP and TCP at one port; long answers are cut short over UDP.

    The addresses of `*.example` are those of every name below it that has none of its own.
    """

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.addresses: dict[str, list[str]] = {}
        self.is_silent = self.lies = False
        self.code = 0
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.place = self.udp.getsockname()
        self.tcp = socket.create_server(self.place)
        self.threads = [threading.Thread(target=serve) for serve in (self._serve_udp, self._serve_tcp)]
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        self.udp.sendto(b"", self.place)
        socket.create_connection(self.place).close()
        for thread in self.threads:
            thread.join(10)
        self.udp.close()
        self.tcp.close()

    def _serve_udp(self) -> None:
        while True:
            question, whom = self.udp.recvfrom(512)
            if not question:
                return
            answer = self._answer(question)
            if len(answer) > 512:
                answer = question[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + question[12:]
            if self.lies:
                answer = bytes([answer[0] ^ 1]) + answer[1:]
            if not self.is_silent:
                self.udp.sendto(answer, whom)

    def _serve_tcp(self) -> None:
        while True:
            sock, _ = self.tcp.accept()
            with sock:
                head = sock.recv(2)
                if not head:
                    return
                answer = self._answer(sock.recv(struct.unpack("!H", head)[0]))
                sock.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, question: bytes) -> bytes:
        labels, at = [], 12
        while size := question[at]:
            labels.append(question[at + 1 : at + 1 + size].decode())
            at += 1 + size
        (kind,) = struct.unpack_from("!H", question, at + 1)
        found = self._found(".".join(labels), kind)
        # An alias comes first, as a server says it; names are written short.
        records = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 60, 2) + b"\xc0\x0c" if found else b""
        for data in found:
            records += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data
        flags = 0x8180 | (self.code or (0 if found else 3))
        count = len(found) + bool(found)
        return question[:2] + struct.pack("!HHHHH", flags, 1, count, 0, 0) + question[12:] + records

    def _found(self, name: str, kind: int) -> list[bytes]:
        """Return the data of the records of a name, as they are sent."""
        if kind == dns.TXT:
            texts = (text.encode() for text in self.texts.get(name, []))
            parts = ([text[i : i + 255] for i in range(0, len(text), 255)] for text in texts)
            return [b"".join(bytes([len(one)]) + one for one in text) for text in parts]
        of_others = self.addresses.get(f"*.{name.partition('.')[2]}", [])
        family = socket.AF_INET if kind == dns.A else socket.AF_INET6
        addresses = self.addresses.get(name, of_others)
        return [socket.inet_pton(family, one) for one in addresses if (":" in one) == (kind == dns.AAAA)]


@pytest.fixture
def server(settings, monkeypatch) -> Iterator[NameServer]:
    found = NameServer()
    settings.ROWHOUSE_DNS_RESOLVERS = ["{}:{}".format(*found.place)]
    monkeypatch.setattr(dns, "SECONDS", 0.5)
    yield found
    found.close()


def tenant(slug: str = "acme") -> Tenant:
    return Tenant.objects.get(slug=slug)


def publish(server: NameServer, claim: DomainClaim, *before: str) -> None:
    record = instructions(claim)
    server.texts[record.name] = [*before, record.value]


def status(host: str = NAME) -> int:
    return Client(HTTP_HOST=host).get("/admin/login/").status_code


def test_a_domain_is_routed_once_its_record_is_there(acme, server):
    claim = claim_domain(tenant=tenant(), domain=f"{NAME.upper()}.")
    assert (claim.domain, instructions(claim).name, status()) == (NAME, f"_rowhouse-verify.{NAME}", 404)
    with pytest.raises(NotVerified, match="no TXT record yet"):
        verify_domain(claim=claim)
    assert status() == 404
    publish(server, claim, "v=spf1 -all", "x" * 600)  # long: the answer comes over TCP
    assert verify_domain(claim=claim).domain == NAME
    assert (status(), DomainClaim.objects.count()) == (200, 0)
    with pytest.raises(ClaimEnded):
        verify_domain(claim=claim)
    names = Event.objects.filter(name__startswith="tenants.domain.").order_by("pk")
    assert [one.name for one in names] == ["tenants.domain.claimed", "tenants.domain.verified"]


def test_a_record_of_another_claim_verifies_nothing(acme, globex, server):
    ours, theirs = (claim_domain(tenant=tenant(slug), domain=NAME) for slug in ("acme", "globex"))
    publish(server, theirs)
    with pytest.raises(NotVerified, match="none of them that of this claim"):
        verify_domain(claim=ours)
    ours.refresh_from_db()
    assert (ours.checked_at is not None, "none of them" in ours.problem) == (True, True)
    assert verify_domain(claim=theirs).tenant.slug == "globex"


def test_a_domain_never_belongs_to_two(acme, globex, server):
    ours, theirs = (claim_domain(tenant=tenant(slug), domain=NAME) for slug in ("acme", "globex"))
    publish(server, ours, instructions(theirs).value)
    verify_domain(claim=ours)
    with pytest.raises(DomainTaken):
        verify_domain(claim=theirs)
    with pytest.raises(DomainTaken):
        claim_domain(tenant=tenant("globex"), domain=NAME)
    assert [one.tenant.slug for one in Domain.objects.filter(domain=NAME)] == ["acme"]


def test_a_claim_ends_and_claiming_again_makes_the_old_record_worthless(acme, server):
    claim = claim_domain(tenant=tenant(), domain=NAME)
    publish(server, claim)
    DomainClaim.objects.update(expires_at=now() - timedelta(seconds=1))
    with pytest.raises(ClaimEnded):
        verify_domain(claim=claim)
    again = claim_domain(tenant=tenant(), domain=NAME)
    with pytest.raises(NotVerified):
        verify_domain(claim=again)
    assert (again.token != claim.token, status()) == (True, 404)


def test_a_claim_made_anew_while_it_is_looked_up_is_not_routed(acme):
    claim = claim_domain(tenant=tenant(), domain=NAME)

    def texts_of(name: str) -> list[str]:
        claim_domain(tenant=tenant(), domain=NAME)
        return [instructions(claim).value]

    with pytest.raises(ClaimEnded):
        verify_domain(claim=claim, texts_of=texts_of)
    assert not Domain.objects.filter(domain=NAME).exists()


@pytest.mark.parametrize(
    "name",
    ["localhost", "evil.localhost", "globex.localhost", "127.0.0.1", "nodot", "a b.example", "xn--a.example"],
)  # fmt: skip
def test_what_cannot_be_a_tenants_own_is_refused(acme, globex, name):
    with pytest.raises(BadDomain):
        claim_domain(tenant=tenant(), domain=name)


def test_a_domain_is_removed_and_the_primary_one_is_not(acme, server):
    claim = claim_domain(tenant=tenant(), domain=NAME)
    publish(server, claim)
    made = verify_domain(claim=claim)
    first = Domain.objects.get(domain="acme.localhost")
    with pytest.raises(DomainNeeded):
        remove_domain(domain=first)
    make_primary(domain=made)
    assert list(Domain.objects.filter(tenant=tenant(), is_primary=True)) == [made]
    remove_domain(domain=first)
    assert (status(), status("acme.localhost")) == (200, 404)
    with pytest.raises(ClaimEnded):
        remove_domain(domain=first)


def test_a_resolver_that_is_silent_fails_or_is_not_asked_for_this_is_not_believed(acme, server):
    claim = claim_domain(tenant=tenant(), domain=NAME)
    publish(server, claim)
    server.is_silent = True
    with pytest.raises(dns.NoAnswer, match="did not answer"):
        verify_domain(claim=claim)
    server.is_silent, server.code = False, 2
    with pytest.raises(dns.NoAnswer, match="error 2"):
        verify_domain(claim=claim)
    server.lies, server.code = True, 0
    with pytest.raises(dns.NoAnswer, match="another question"):
        verify_domain(claim=claim)
    assert DomainClaim.objects.filter(pk=claim.pk).exists()


@pytest.mark.parametrize("size", range(0, 49, 6))
def test_an_answer_cut_anywhere_is_no_answer(size):
    question = dns._question("a.example", dns.TXT)
    whole = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question[12:]
    whole += b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, 9) + b"\x08rowhouse"
    assert dns._records(dns._checked(whole, question), dns.TXT) == [b"\x08rowhouse"]
    with pytest.raises((ValueError, IndexError, struct.error)):
        dns._records(dns._checked(whole[: min(size, len(whole) - 10)], question), dns.TXT)


def test_the_commands_claim_and_verify(acme, server, capsys):
    call_command("add_domain", "acme", NAME, "--json")
    record = json.loads(capsys.readouterr().out)["record"]
    with pytest.raises(SystemExit, match="2"):
        call_command("verify_domain", "acme", NAME)
    assert "error[domain-not-verified]" in capsys.readouterr().err
    server.texts[record["name"]] = [record["value"]]
    call_command("verify_domain", "acme", NAME, "--json")
    assert json.loads(capsys.readouterr().out) == {"tenant": "acme", "domain": NAME}
    with pytest.raises(SystemExit, match="2"):
        call_command("verify_domain", "acme", "other.example")
