"""A storm of the same error writes a few lines; another error in the middle of it is still seen."""

from __future__ import annotations

import io
import json
import logging

import pytest

from core import log_storms
from core.log_storms import MOST_LETTERS, Storms
from core.logging import formatter


class Log:
    """A logger of its own, behind the filter, whose lines can be read."""

    def __init__(self, most: int) -> None:
        self.text = io.StringIO()
        handler = logging.StreamHandler(self.text)
        handler.setFormatter(formatter(as_json=True))
        handler.addFilter(Storms(most=most))
        self.logger = logging.Logger("storm")  # noqa: LOG001 -- one for each test
        self.logger.addHandler(handler)

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.getvalue().splitlines()]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(log_storms, "monotonic", lambda: now[0])
    return now


def fail(log: Log, *, otherwise: bool = False) -> None:
    try:
        if otherwise:
            raise KeyError("elsewhere")
        raise ValueError("one and the same")
    except (ValueError, KeyError):
        log.logger.exception("Could not %s", "do it")


@pytest.mark.case("D16")
def test_a_storm_writes_a_few_lines_and_says_later_how_many_there_were(clock: list[float]):
    log = Log(3)
    for _ in range(10_000):
        fail(log)
    fail(log, otherwise=True)
    assert [line["event"] for line in log.lines()] == ["Could not do it"] * 4
    assert "KeyError" in str(log.lines()[3]["exception"])
    clock[0] += 61
    fail(log)
    assert log.lines()[4]["held_back"] == 9_997


@pytest.mark.case("D16")
def test_lines_that_differ_in_their_values_alone_are_one_storm(clock: list[float]):
    log = Log(3)
    for number in range(1_000):
        log.logger.warning("Not Found: %s", f"/{number}")
    assert len(log.lines()) == 3


@pytest.mark.case("D16")
def test_a_storm_of_ever_new_wordings_is_held_back_as_well(clock: list[float]):
    log = Log(3)
    for number in range(20_000):
        log.logger.error(f"wording {number}")  # noqa: G004 -- the very thing
    assert len(log.lines()) <= log_storms.MOST_KINDS + 3


def test_what_is_no_warning_is_always_written(clock: list[float]):
    log = Log(3)
    for _ in range(50):
        log.logger.info("request")
    assert len(log.lines()) == 50


def test_without_a_limit_all_is_written(clock: list[float]):
    log = Log(0)
    for _ in range(50):
        log.logger.error("again")
    assert len(log.lines()) == 50


@pytest.mark.case("D16")
def test_a_long_line_is_cut_and_a_traceback_keeps_its_end(clock: list[float]):
    def deeper(left: int) -> None:
        if not left:
            raise ValueError("at the very end")
        (lambda: deeper(left - 1))()

    log = Log(3)
    log.logger.error("%s", "x" * 1_000_000)
    try:
        deeper(300)
    except ValueError:
        log.logger.exception("deep")
    long, deep = log.lines()
    assert len(str(long["event"])) < MOST_LETTERS + 20
    assert len(str(deep["exception"])) < MOST_LETTERS + 20
    assert str(deep["exception"]).endswith("ValueError: at the very end")
