"""A new release comes while the old one serves: nobody sees an error, no work is lost, every version is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fleet import plants, releases
from benchmarks.fleet.releases import Release
from benchmarks.fleet.rolling import Report, roll, serve_only
from benchmarks.fleet.site import Site
from tests.conftest import own_database


@pytest.fixture
def site(tmp_path: Path, django_db_modify_db_settings: None) -> Iterator[Site]:
    """A place with an empty database, where the platform is about to be installed."""
    with own_database() as url:
        yield Site(url, tmp_path / "site")


@pytest.fixture
def grown(tmp_path: Path) -> Release:
    """The code of a next release: this one with additive migrations."""
    release = releases.copied(tmp_path / "grown", "next")
    plants.grow(release)
    return release


def check(report: Report) -> None:
    assert report.wrong == []
    for what in (
        "list",
        "form",
        "record saved",
        "upload",
        "import merged",
        "export asked for",
        "download",
        "sign-in",
    ):
        assert report.counts[what] > 0, what


def test_a_next_release_with_additive_migrations_is_rolled_out_under_traffic(
    site: Site, grown: Release
) -> None:
    report = roll(site, releases.present(), grown, times=1)
    check(report)
    assert {one["tenant"] for one in report.schemas} == {"", "tenant0", "tenant1"}


@pytest.mark.slow
def test_this_release_is_rolled_out_over_the_last_under_traffic(site: Site, tmp_path: Path) -> None:
    try:
        last = releases.released(releases.last_release(), tmp_path / "last")
    except releases.NoHistory as reason:
        pytest.skip(f"the last release's code is not here: {reason}")
    check(roll(site, last, releases.present(), times=4))


@pytest.mark.slow
def test_a_migration_that_takes_away_what_the_old_release_reads_is_seen(site: Site, tmp_path: Path) -> None:
    destructive = releases.copied(tmp_path / "shrunk", "destructive")
    plants.shrink(destructive)
    report = serve_only(site, releases.present(), destructive)
    assert any(": 500 " in one for one in report.wrong), report.wrong


def test_a_release_has_its_own_migrations_and_no_other(grown: Release, site: Site) -> None:
    assert [path.stem[5:] for path in plants.written(grown)] == [
        "planted_column", "planted_python", "planted_index", "planted_column", "planted_index",
    ]  # fmt: skip
    assert plants.written(releases.present()) == []
