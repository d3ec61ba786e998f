"""docs/api.md shows what curl is told by a running web."""

from __future__ import annotations

from pathlib import Path

from tests.api_page import PAGE, masked, run, serving, shown
from tests.conftest import free_port, own_database


def test_the_page_shows_what_curl_is_told(tmp_path: Path, django_db_modify_db_settings: None) -> None:
    before = shown(PAGE.read_text(encoding="utf-8"))
    with own_database() as url, serving(url, tmp_path, free_port()) as environment:
        now = run(before, tmp_path, environment)
    assert masked(now) == masked(before)
