from __future__ import annotations

import errno
from typing import Any

import psycopg2.errors
from django.conf import settings
from django.core.management.base import CommandParser
from django.db import OperationalError, connections

from core.command import Result, RowhouseCommand
from core.errors import RowhouseError
from rowhouse.demo import reset, serve
from rowhouse.demo.story import OPERATOR_EMAIL, TENANTS, Story


class DiskFull(RowhouseError):
    """There is no room left."""

    code = "disk-full"


class Command(RowhouseCommand):
    help = "The main job on real files, from nothing; then web and worker until Ctrl-C."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="do it all without serving, and sum it up")
        parser.add_argument("--port", type=int, default=8000, help="where the web server listens")
        parser.add_argument("--data", metavar="DIR", help="folder of database and files (as ROWHOUSE_DATA)")
        parser.add_argument("--reset", action="store_true", help="remove the demo's data first")

    def run(self, **options: Any) -> Result:
        if not options["once"]:
            serve.check_port(options["port"])
        if options["reset"]:
            self._say("Removing the demo's data …")
            reset.remove_everything()
        story = Story(settings.ROWHOUSE_DATA / "demo.json", self._say)
        try:
            if options["once"]:
                return self._once(story)
            if not story.is_told():
                story.tell()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DiskFull(
                f"The disk of {settings.ROWHOUSE_DATA} is full. Make room and start again."
            ) from None
        except OperationalError as error:
            if not isinstance(error.__cause__, psycopg2.errors.DiskFull):
                raise
            raise DiskFull("The database's disk is full. Make room and start again.") from None
        return self._serve(story, options["port"])

    def _once(self, story: Story) -> Result:
        summary = story.tell()
        rows = sum(one["created"] for one in summary["imports"])
        lines = [
            f"{len(summary['imports'])} imports created {rows:,} records;"
            f" {len(summary['exports'])} files were exported."
        ]
        return Result(summary, lines)

    def _serve(self, story: Story, port: int) -> Result:
        connections.close_all()
        children = serve.serve(port)
        try:
            passwords = story.remembered()
            for slug, name in TENANTS.items():
                self._say(f"{name}: http://{slug}.localhost:{port}/admin/")
                self._say(f"    owner@{slug}.example  {passwords.get(slug, '(as you set it)')}")
            self._say(f"Operators: http://localhost:{port}/operator/")
            self._say(f"    {OPERATOR_EMAIL}  {passwords.get('operator', '(as you set it)')}")
            self._say("Ctrl-C stops everything.")
            children.wait()
        finally:
            children.stop()
        return Result({"stopped": True}, ["Stopped. The data stays; `rowhouse demo` goes on with it."])

    def _say(self, line: str) -> None:
        self.stderr.write(line, style_func=str)
        self.stderr.flush()
