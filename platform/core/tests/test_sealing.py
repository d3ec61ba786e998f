"""Secrets at rest: what opens them, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from core.sealing import NotOpened, is_current, seal, unseal
from core.tenancy import NoTenant, TenantRef, in_tenant

ACME, GLOBEX = TenantRef("t_aaaaaaaa", "acme"), TenantRef("t_bbbbbbbb", "globex")


@pytest.mark.parametrize("text", ["", "secret", "wörld \N{SNOWMAN} \0", "x" * 10_000])
def test_a_sealed_text_shows_nothing_and_opens_again(text: str) -> None:
    with in_tenant(ACME):
        sealed = seal(text, purpose="a")

        assert unseal(sealed, purpose="a") == text
        assert seal(text, purpose="a") != sealed
    assert not text or text not in sealed


@pytest.mark.case("T17")
def test_a_sealed_text_opens_neither_elsewhere_nor_for_something_else() -> None:
    with in_tenant(ACME):
        sealed = seal("secret", purpose="a")
        with pytest.raises(NotOpened):
            unseal(sealed, purpose="b")
    with in_tenant(GLOBEX), pytest.raises(NotOpened):
        unseal(sealed, purpose="a")
    with pytest.raises(NoTenant):
        unseal(sealed, purpose="a")


def test_a_text_that_was_altered_does_not_open() -> None:
    with in_tenant(ACME):
        sealed = seal("secret", purpose="a")
        for place in range(len(sealed)):
            altered = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
            with pytest.raises(NotOpened):
                unseal(altered, purpose="a")
        for nonsense in ("", "s1.", "s1.AAAA", "secret", "s1." + "ä" * 40):
            with pytest.raises(NotOpened):
                unseal(nonsense, purpose="a")


def test_keys_are_rotated_by_putting_a_new_one_first(settings: Any) -> None:
    settings.ROWHOUSE_SEALING_KEYS = ["old"]
    with in_tenant(ACME):
        sealed = seal("secret", purpose="a")
        settings.ROWHOUSE_SEALING_KEYS = ["new", "old"]
        assert (unseal(sealed, purpose="a"), is_current(sealed, purpose="a")) == ("secret", False)
        again = seal(unseal(sealed, purpose="a"), purpose="a")

        settings.ROWHOUSE_SEALING_KEYS = ["new"]
        assert (unseal(again, purpose="a"), is_current(again, purpose="a")) == ("secret", True)
        with pytest.raises(NotOpened):
            unseal(sealed, purpose="a")
