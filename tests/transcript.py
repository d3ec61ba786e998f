"""The README's transcript: runs the commands it shows and writes down what they print.

    python -m tests.transcript          writes README.md anew

Each line behind `$ ` between the two markers is run in a folder with the demo's cities and a faulty copy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rowhouse.demo.files import FOLDER

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"(<!-- transcript -->\n```console\n)(.*?)(```\n<!-- /transcript -->)", re.DOTALL)
# What differs from run to run: passwords, seconds, today, sha256.
VARYING = (
    (re.compile(r"/invitation/[\w:-]+/"), "/invitation/…/"),
    (re.compile(r"\d+\.\d+ s\b"), "… s"),
    (re.compile(r"\d{8}T\d{6}Z"), "…Z"),
    (re.compile(r"\d{4}/\d\d/\d\d"), "…"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "…"),
)


def shown(text: str) -> str:
    """Return the README's transcript as it stands."""
    found = BLOCK.search(text)
    assert found, "README.md has no transcript between its markers."
    return found[2]


def masked(transcript: str) -> str:
    """Return a transcript without what differs from run to run."""
    for pattern, instead in VARYING:
        transcript = pattern.sub(instead, transcript)
    return transcript


def run(transcript: str, environment: dict[str, str]) -> str:
    """Run a transcript's commands in a fresh folder and return it with what they print now."""
    said = []
    with tempfile.TemporaryDirectory() as folder:
        _put_files(Path(folder))
        for line in transcript.splitlines():
            if line.startswith("$ "):
                done = subprocess.run(
                    line.removeprefix("$ "),
                    shell=True,
                    cwd=folder,
                    env=environment,
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
                said += [line, *done.stdout.splitlines()]
    return "\n".join(said) + "\n"


def _put_files(folder: Path) -> None:
    shutil.copy(FOLDER / "world-cities.csv", folder / "cities.csv")
    lines = (FOLDER / "world-cities.csv").read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3].rpartition(",")[0] + ",30 41 565"
    lines[5] = lines[5].replace(lines[5].partition(",")[0], lines[5].partition(",")[0] + " (old town)")
    lines[7] += ",one cell too many"
    (folder / "cities-november.csv").write_text("\n".join(lines[:200]) + "\n", encoding="utf-8")


def main() -> None:
    text = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as data:
        # The embedded server runs as a user of its own, which must be let through.
        Path(data).chmod(0o755)
        environment = {
            **os.environ,
            "ROWHOUSE_DATA": data,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        now = run(shown(text), environment)
    README.write_text(BLOCK.sub(lambda found: found[1] + now + found[3], text), encoding="utf-8")


if __name__ == "__main__":
    main()
