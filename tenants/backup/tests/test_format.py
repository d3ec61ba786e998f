"""Damage is found by reading, whatever bit or end it hits."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.backup import format as form
from tenants.backup.format import (
    BackupDamaged,
    BackupReader,
    BackupSealed,
    BackupTooNew,
    BackupWriter,
    RowHash,
    read_through,
)

SECRET, OTHER = "s" * 40, "o" * 40
ROWS = [b"%d\tname %d\t\\N\n" % (number, number * 7919) for number in range(20_000)]


def written(secret: str | None = None, rows: list[bytes] = ROWS) -> bytes:
    out = io.BytesIO()
    writer = BackupWriter(out.write, secret=secret)
    writer.whole_part("about", b'{"tenant": {"slug": "acme"}}')
    with writer.part("table", name="ds_1", columns=["id", "c1", "c2"]) as part:
        for row in rows:
            part.write_row(row)
    with writer.part("table", name="empty", columns=["id"]):
        pass
    writer.finish()
    assert (writer.bytes, len(out.getvalue())) == (len(out.getvalue()), writer.bytes)
    return out.getvalue()


SMALL = {"plain": written(rows=ROWS[:50]), "sealed": written(SECRET, ROWS[:50])}


def frames(data: bytes) -> list[int]:
    """Return where each frame begins, and where the last one ends."""
    at, found = len(form.MAGIC), []
    while at < len(data) - form.SUM_BYTES:
        found.append(at)
        at += form.LENGTH.size + form.LENGTH.unpack(data[at : at + form.LENGTH.size])[1]
    return [*found, at]


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "sealed"])
def test_what_was_written_is_read(secret):
    data = written(secret)
    reader = BackupReader(io.BytesIO(data), [OTHER, SECRET])
    found = [(part.about, part.content()) for part in reader.parts()]
    assert found == [
        ({"kind": "about"}, b'{"tenant": {"slug": "acme"}}'),
        ({"kind": "table", "name": "ds_1", "columns": ["id", "c1", "c2"]}, b"".join(ROWS)),
        ({"kind": "table", "name": "empty", "columns": ["id"]}, b""),
    ]
    contents = reader.contents
    assert (contents.about["tenant"]["slug"], contents.rows, contents.bytes) == ("acme", 20_000, len(data))
    assert contents.is_sealed is (secret is not None)


def test_a_sealed_backup_shows_nothing_of_what_is_in_it():
    assert b"acme" not in SMALL["sealed"]
    assert b"ds_1" not in SMALL["sealed"]


def test_a_sealed_backup_opens_under_no_other_key():
    with pytest.raises(BackupSealed, match=form.key_name(SECRET)):
        read_through(io.BytesIO(SMALL["sealed"]), [OTHER])


def test_two_backups_of_the_same_are_sealed_differently():
    assert written(SECRET, ROWS[:5])[-200:] != written(SECRET, ROWS[:5])[-200:]


@pytest.mark.case("I22")
@pytest.mark.parametrize("name", SMALL)
def test_every_truncation_is_found(name):
    data = SMALL[name]
    for length in range(len(data)):
        with pytest.raises(BackupDamaged):
            read_through(io.BytesIO(data[:length]), [SECRET])


@pytest.mark.case("I22")
@pytest.mark.parametrize("name", SMALL)
def test_every_flipped_bit_is_found(name):
    data = SMALL[name]
    for at in range(len(data)):
        altered = bytearray(data)
        altered[at] ^= 1 << at % 8
        with pytest.raises((BackupDamaged, BackupSealed, BackupTooNew)):
            read_through(io.BytesIO(bytes(altered)), [SECRET])


@pytest.mark.case("I22")
@pytest.mark.parametrize("name", SMALL)
def test_frames_cannot_be_left_out_doubled_or_exchanged(name):
    data = SMALL[name]
    edges = frames(data)
    pieces = [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    head, tail = data[: edges[0]], data[edges[-1] :]
    for at in range(len(pieces)):
        without = [*pieces[:at], *pieces[at + 1 :]]
        doubled = [*pieces[: at + 1], *pieces[at:]]
        for wrong in (without, doubled):
            with pytest.raises(BackupDamaged):
                read_through(io.BytesIO(head + b"".join(wrong) + tail), [SECRET])


@pytest.mark.case("I22")
def test_something_behind_the_end_is_found():
    with pytest.raises(BackupDamaged, match="behind its end"):
        read_through(io.BytesIO(SMALL["plain"] + b"x"))


def test_a_later_form_is_refused_with_what_to_do():
    data = SMALL["plain"].replace(b'"format":1', b'"format":2')
    with pytest.raises(BackupTooNew, match="release that wrote it"):
        read_through(io.BytesIO(data))


@given(st.binary(max_size=400))
def test_no_file_at_all_is_taken_for_a_backup(data):
    with pytest.raises(BackupDamaged):
        read_through(io.BytesIO(data))


@given(st.binary(max_size=400))
def test_no_bytes_behind_the_magic_are_taken_for_a_backup(data):
    with pytest.raises((BackupDamaged, BackupTooNew)):
        read_through(io.BytesIO(form.MAGIC + data))


@given(st.lists(st.binary(max_size=20), max_size=20), st.randoms(use_true_random=False))
def test_the_hash_of_rows_does_not_hang_on_their_order(rows, chance):
    one, other = RowHash(), RowHash()
    for row in rows:
        one.add(row)
    chance.shuffle(rows)
    for row in rows:
        other.add(row)
    assert (one.rows, one.text) == (other.rows, other.text)


def test_a_row_that_stands_twice_counts_twice():
    once, twice = RowHash(), RowHash()
    once.add(b"a")
    twice.add(b"a")
    twice.add(b"a")
    assert once.text != twice.text


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "sealed"])
def test_a_backup_many_times_as_large_as_memory_may_be_is_written_and_read(tmp_path, secret):
    path = tmp_path / "large.backup"
    line = b"x" * 1000 + b"\n"
    tracemalloc.start()
    try:
        with path.open("wb") as out:
            writer = BackupWriter(out.write, secret=secret)
            writer.whole_part("about", b"{}")
            with writer.part("table", name="ds_1", columns=["c1"]) as part:
                for _ in range(30_000):
                    part.write_row(line)
            writer.finish()
        with path.open("rb") as source:
            contents = read_through(source, [SECRET])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert contents.tables[0]["bytes"] == 30_000 * len(line)
    assert peak < 4 * 1024 * 1024
