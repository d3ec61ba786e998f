"""The folder of a worker family: who lives, who died, who may take what."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from jobs import heartbeat


def test_a_folder_is_one_familys_at_a_time(folder: Path) -> None:
    with pytest.raises(heartbeat.FolderInUse, match="--folder"):
        heartbeat.open_folder(folder)


def test_a_family_is_dead_when_its_last_process_is(folder: Path) -> None:
    mine = heartbeat.family()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        os.read(reader, 1)  # lives until told
        os._exit(0)
    heartbeat.abandon()
    with pytest.raises(heartbeat.FolderInUse):
        heartbeat.open_folder(folder)
    os.close(writer)
    os.waitpid(child, 0)
    assert heartbeat.open_folder(folder) == mine
    assert heartbeat.family() not in ("", mine)


def test_a_dead_family_is_buried_by_the_one_beside_it(folder: Path) -> None:
    mine = heartbeat.family()
    heartbeat.abandon()
    heartbeat.open_folder(folder.parent / "another")
    assert list(heartbeat.dead_families()) == [mine]
    assert list(heartbeat.dead_families()) == []
    assert not folder.exists()


def test_a_folder_that_holds_other_things_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(heartbeat.ForeignFolder, match=r"letters\.txt"):
        heartbeat.open_folder(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["letters.txt"]


def test_what_is_no_workers_folder_is_never_buried(folder: Path) -> None:
    beside = folder.parent / "genealogy"
    beside.mkdir()
    (beside / "family").write_text("the Smiths")
    mixed = folder.parent / "mixed"
    mixed.mkdir()
    (mixed / "family").write_text("pod-7:1:00000000")
    (mixed / "letters.txt").touch()
    assert list(heartbeat.dead_families()) == []
    assert sorted(file.name for file in [*beside.iterdir(), *mixed.iterdir()]) == [
        "family",
        "family",
        "letters.txt",
    ]


def test_a_clock_that_is_set_forward_is_no_silence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat.begin_slice()
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert heartbeat.oldest_slice_seconds() < 60
    heartbeat.end_slice()
    assert heartbeat.oldest_slice_seconds() == 0


def test_a_pool_of_two_has_room_for_one_long_slice(folder: Path) -> None:
    with heartbeat.room_for_long(1) as first, heartbeat.room_for_long(1) as second:
        assert (first, second) == (True, False)
    with heartbeat.room_for_long(1) as again:
        assert again


def test_beats_do_nothing_outside_of_workers() -> None:
    heartbeat.beat("main")
    assert not heartbeat.is_draining()
    assert not heartbeat.must_hurry()
    assert heartbeat.oldest_slice_seconds() == heartbeat.leaving_seconds() == 0
    with heartbeat.room_for_long(1) as first, heartbeat.room_for_long(1) as second:
        assert (first, second) == (True, True)


def test_many_workers_may_bury_the_same_families(tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    stage.mkdir()
    run = tmp_path / "run"
    run.mkdir()
    children = [_bury_for_a_while(run, number) for number in range(3)]
    for number in range(200):
        dead = stage / f"dead-{number}"
        dead.mkdir()
        (dead / "lock").touch()
        (dead / "family").write_text(f"pod-7:1:{number:08x}")
        dead.rename(run / dead.name)
    (run / "enough").touch()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert not list(run.glob("dead-*"))


def _bury_for_a_while(run: Path, number: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        heartbeat.open_folder(run / f"live-{number}")
        while not (run / "enough").exists():
            list(heartbeat.dead_families())
        list(heartbeat.dead_families())
        os._exit(0)
    except BaseException:  # noqa: BLE001 -- a child of a test says it by its exit code
        os._exit(1)
