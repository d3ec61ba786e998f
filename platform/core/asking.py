"""One request to a host that a tenant has named, and its answer: small, soon, and from the open internet.

It goes to the address that was judged (`core.judged`); an answer that is too long or takes too long is none.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import RowhouseError
from core.judged import NoAddress, Unanswered, exchange, target_of
from core.outgoing import NotAllowedHost

MOST_BYTES = 512 * 1024


class NoAnswer(RowhouseError):
    """A host did not answer in time, or with something that cannot be read."""

    code = "no-answer"
    status = 502
    is_passing = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered."""

    host: str
    status: int
    body: bytes

    def object(self) -> dict[str, Any]:
        """Return the JSON object that was answered.

        :raises NoAnswer: it is none.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise NoAnswer(f"{self.host} answered {self.status} with something that is no JSON object.")
        return found


def ask(
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    private: Collection[str] = (),
) -> Answer:
    """Ask an address, by POST where there is a body; hosts in `private` may be of the own network and unencrypted.

    :raises NotAllowedHost: it is no address, not encrypted, or leads into a private network.
    :raises NoAnswer: nobody answered within 10 seconds, or with more than 512 KiB.
    """
    try:
        target = target_of(url, private=private)
    except NoAddress as error:
        raise NotAllowedHost(str(error)) from None
    try:
        status, said = exchange(
            target,
            method="GET" if body is None else "POST",
            body=body,
            headers={"Accept": "application/json", **(headers or {})},
            read=lambda answer: answer.read(MOST_BYTES + 1),
        )
    except Unanswered as error:
        raise NoAnswer(str(error)) from error
    if len(said) > MOST_BYTES:
        raise NoAnswer(f"{target.host} answered more than {MOST_BYTES // 1024} KiB, which is not read.")
    if 300 <= status < 400:
        raise NoAnswer(f"{target.host} answered {status}, a redirect, which is not followed.")
    return Answer(target.host, status, said)
