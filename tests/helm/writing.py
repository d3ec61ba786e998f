"""`python -m tests.helm.writing`: make anew what the chart holds of the code's settings and of its own comments.

The schema's `config` and `secrets.keys` come from the settings, its renamed keys from files/renamed.yaml, the
README's table from the comments of values.yaml. A test fails when one of them is stale.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml

from tests.helm.settings import by_config, secrets
from tests.source import ROOT

CHART = ROOT / "helm" / "rowhouse"
BEGIN, END = "<!-- values: made by `make chart` -->\n", "<!-- end of values -->"
_COMMENT = re.compile(r"\s*# -- (.*)")
_KEY = re.compile(r"(\s*)([A-Za-z_]\w*):")
LONGEST_DEFAULT = 60


@dataclass(frozen=True, slots=True)
class Value:
    """A value with a comment of its own: `path` as `--set` writes it."""

    path: str
    default: Any
    says: str


def described_values(text: str) -> list[Value]:
    """Return the values of a values.yaml that have a comment beginning with two dashes, in its order.

    :raises ValueError: such a comment stands above no key.
    """
    values = yaml.safe_load(text)
    found: list[Value] = []
    above: list[tuple[int, str]] = []  # the keys around this line, with their indentation
    says = ""
    for line in text.splitlines():
        if comment := _COMMENT.match(line):
            says = comment[1]
        elif key := _KEY.match(line):
            depth = len(key[1])
            above = [each for each in above if each[0] < depth] + [(depth, key[2])]
            if says:
                names = [name for _, name in above]
                found.append(Value(".".join(names), _at(values, names), says))
                says = ""
        elif says:
            raise ValueError(f"{says!r} stands above no key.")
    return found


def _at(values: Any, names: list[str]) -> Any:
    for name in names:
        values = values[name]
    return values


def table(text: str) -> str:
    """Return the README's table of a values.yaml."""
    rows = [f"| `{each.path}` | {_shown(each.default)} | {each.says} |" for each in described_values(text)]
    return "\n".join(["| value | default | is |", "|---|---|---|", *rows]) + "\n"


def _shown(default: Any) -> str:
    if default in ("", [], {}):
        return "none"
    text = default if isinstance(default, str) else json.dumps(default, separators=(",", ": "))
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else "see values.yaml"


def readme(old: str, values: str) -> str:
    """Return the README with the table of these values."""
    head, _, rest = old.partition(BEGIN)
    return head + BEGIN + "\n" + table(values) + "\n" + END + rest.partition(END)[2]


def schema(old: str, renamed: dict[str, str]) -> str:
    """Return the schema with the code's settings and the keys that are called otherwise."""
    document = json.loads(old)
    _forget_renamed(document)
    properties = document["properties"]
    properties["config"]["properties"] = by_config()
    key = {"$ref": "#/definitions/secretKey"}
    properties["secrets"]["properties"]["keys"]["properties"] = dict.fromkeys(sorted(secrets()), key)
    for path, new in renamed.items():
        *parents, last = path.split(".")
        at = properties
        for parent in parents:
            at = at[parent]["properties"]
        at[last] = {"deprecated": True, "description": f"Called {new} here."}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _forget_renamed(node: Any) -> None:
    for name, below in list(node.get("properties", {}).items()):
        if below.get("deprecated"):
            del node["properties"][name]
        else:
            _forget_renamed(below)


def written() -> dict[str, str]:
    """Return what each made file should hold now, by its name in the chart."""
    renamed = yaml.safe_load((CHART / "files" / "renamed.yaml").read_text(encoding="utf-8"))
    return {
        "README.md": readme(
            (CHART / "README.md").read_text(encoding="utf-8"),
            (CHART / "values.yaml").read_text(encoding="utf-8"),
        ),
        "values.schema.json": schema((CHART / "values.schema.json").read_text(encoding="utf-8"), renamed),
    }


if __name__ == "__main__":
    for name, text in written().items():
        (CHART / name).write_text(text, encoding="utf-8")
