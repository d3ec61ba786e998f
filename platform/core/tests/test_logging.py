from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from core import logging as rowhouse_logging
from core.tenancy import TenantRef, in_tenant

CANARY = "canary cell value"


@contextmanager
def configured(*, as_json: bool) -> Iterator[logging.Logger]:
    """Log as the product does, until the block ends."""
    before = structlog.get_config()
    logging.config.dictConfig(rowhouse_logging.configure(level="INFO", as_json=as_json))
    try:
        yield logging.getLogger("tests")
    finally:
        structlog.configure(**before)


@pytest.mark.case("T29")
def test_a_request_that_is_over_leaves_no_tenant_on_the_lines(acme: TenantRef, client_of, capsys):
    client_of(acme).get("/admin/")
    with configured(as_json=True) as logger:
        logger.info("afterwards")
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["tenant"] == "-"


@pytest.mark.case("T29")
def test_every_line_names_its_tenant(acme: TenantRef, capsys):
    with configured(as_json=True) as logger:
        with in_tenant(acme):
            logger.info("inside")
        logger.info("outside")
        rowhouse_logging.bind_request("globex")
        logger.info("of a request that is over")
        structlog.contextvars.clear_contextvars()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["tenant"]) for line in lines] == [
        ("inside", "acme"),
        ("outside", "-"),
        ("of a request that is over", "globex"),
    ]


@pytest.mark.case("T29")
@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_holds_no_local_variables(as_json, capsys):
    def fails(cell: str) -> None:
        raise ZeroDivisionError

    with configured(as_json=as_json) as logger:
        try:
            fails(CANARY)
        except ZeroDivisionError:
            logger.exception("It failed")
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert CANARY not in said
