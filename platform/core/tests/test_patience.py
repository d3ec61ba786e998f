"""Asking what may hang: nobody waits longer than he says, and nobody asks twice at once."""

from __future__ import annotations

from itertools import count
from threading import Event, Thread

import pytest

from core.patience import Patient, StillAsking


def test_an_answer_is_shared_while_it_is_fresh():
    asked = count(1)
    patient = Patient(lambda: next(asked), fresh_seconds=3600)
    assert [patient.answer(wait_seconds=30) for _ in range(3)] == [1, 1, 1]


def test_an_old_answer_is_asked_for_again():
    asked = count(1)
    patient = Patient(lambda: next(asked), fresh_seconds=0)
    assert [patient.answer(wait_seconds=30) for _ in range(3)] == [1, 2, 3]


def test_what_was_raised_is_raised_to_whoever_waits():
    def ask():
        raise LookupError("away")

    with pytest.raises(LookupError, match="away"):
        Patient(ask, fresh_seconds=0).answer(wait_seconds=30)


def test_one_that_hangs_is_asked_once_however_many_wait():
    over, asked = Event(), []

    def ask():
        asked.append(1)
        over.wait()
        return "late"

    patient = Patient(ask, fresh_seconds=3600)
    for _ in range(3):
        with pytest.raises(StillAsking):
            patient.answer(wait_seconds=0.01)
    assert asked == [1]
    over.set()
    assert patient.answer(wait_seconds=30) == "late"
    assert asked == [1]


def test_all_who_wait_get_the_same_answer():
    begun, over, found = Event(), Event(), []

    def ask():
        begun.set()
        over.wait()
        return object()

    patient = Patient(ask, fresh_seconds=3600)
    waiting = [Thread(target=lambda: found.append(patient.answer(wait_seconds=30))) for _ in range(4)]
    for thread in waiting:
        thread.start()
    begun.wait()
    over.set()
    for thread in waiting:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
