"""All people of the measurement, in a process of their own whose CPU is told apart.

Reads one JSON object a line: first the places and people, then `{"do": …}`; each is answered by one line.

    {"do": "sign-in"}
    {"do": "tour"}                                 everybody does each thing once
    {"do": "begin", "think": 5.0, "people": 50}    think: seconds between two acts, about; 0: none
    {"do": "end"}                                  answers with what was measured since

Closed loop: each person waits for the answer before the next act, and the time to think is drawn anew each time.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from threading import Event, Thread
from typing import Any

from benchmarks.load_person import ACTS, KEEPERS_ONLY, Person, Place, Tally


class People:
    """Everybody, and the threads of the phase that goes on."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.over = Event()
        self.threads: list[Thread] = []
        self.began, self.cpu = time.perf_counter(), _cpu()
        self.everybody: list[Person] = []
        for at, one in enumerate(spec["people"]):
            person = Person(
                place=Place(**spec["places"][one["place"]]),
                email=one["email"],
                password=spec["password"],
                is_keeper=one["is_keeper"],
                first=one["first"],
                share=one["share"],
                rng=random.Random(spec["seed"] * 10_000 + at),
            )
            person.is_over = self.over.is_set
            self.everybody.append(person)

    def sign_in(self) -> None:
        """Sign everybody in, four at a time: a password takes a core for a moment."""
        self._each(4, _sign_in)

    def tour(self) -> None:
        """Have everybody do everything once, ten at a time, so that no page is anybody's first later."""
        self._each(10, _tour)

    def _each(self, at_once: int, act: Any) -> None:
        shares = [self.everybody[place::at_once] for place in range(at_once)]
        threads = [Thread(target=lambda share=share: [act(one) for one in share]) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def begin(self, think: float, people: int) -> None:
        self.over.clear()
        self.began, self.cpu = time.perf_counter(), _cpu()
        for person in self.everybody:
            person.tally = Tally()
        self.threads = [Thread(target=self._live, args=(one, think)) for one in self.everybody[:people]]
        for thread in self.threads:
            thread.start()

    def _live(self, person: Person, think: float) -> None:
        # Nobody begins at the same moment.
        if think and self.over.wait(person.rng.uniform(0, think)):
            return
        while not self.over.is_set():
            person.act()
            if think and self.over.wait(person.rng.uniform(0.5, 1.5) * think):
                return

    def end(self) -> dict[str, Any]:
        seconds = time.perf_counter() - self.began
        asked = sum(len(person.tally.requests) for person in self.everybody)
        self.over.set()
        for thread in self.threads:
            thread.join()
        return {**self.told(), "seconds": seconds, "asked_in_time": asked, "cpu": _cpu() - self.cpu}

    def told(self) -> dict[str, Any]:
        """Return what everybody met since the phase began."""
        tallies = [person.tally for person in self.everybody]
        return {
            "requests": [one for tally in tallies for one in tally.requests],
            "waits": [one for tally in tallies for one in tally.waits],
            "errors": [one for tally in tallies for one in tally.errors],
        }


def _sign_in(person: Person) -> None:
    person.act("sign_in")


def _tour(person: Person) -> None:
    for name in ACTS:
        if person.is_keeper or name not in KEEPERS_ONLY:
            person.act(name)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    people = People(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any] = {}
        match asked["do"]:
            case "sign-in":
                people.sign_in()
                answer = people.told()
            case "tour":
                people.tour()
                answer = people.told()
            case "begin":
                people.begin(asked["think"], asked["people"])
            case "end":
                answer = people.end()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
