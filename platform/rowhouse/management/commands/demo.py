from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connections

from core.command import Result, RowhouseCommand
from core.disk import require_room
from rowhouse.demo import reset, serve
from rowhouse.demo.story import OPERATOR_EMAIL, TENANTS, Story
from tenants.fanout import migrate_all

# Database, history, uploads and exports of the seven datasets, and what PostgreSQL keeps to be safe.
NEEDED_MB = 500


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
        if not story.is_told():
            require_room(settings.ROWHOUSE_DATA.resolve(), mb=NEEDED_MB)
        if options["once"]:
            return self._once(story)
        if story.is_told():
            migrate_all()  # an earlier release may have told it
        else:
            story.tell()
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
