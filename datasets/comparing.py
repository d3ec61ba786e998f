"""What tells a definition that was handed in from a dataset's own. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from datasets.definition import Definition
from datasets.rules import NewColumn
from datasets.spec import ColumnSpec, DatasetSpec
from datasets.wording import rule_words, type_words

type Kind = Literal["added", "missing", "type", "rules", "key", "order", "title"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: `here` is what the dataset has, `there` what the definition states; empty for nothing."""

    kind: Kind
    label: str
    here: str
    there: str

    @property
    def sentence(self) -> str:
        """The difference in words."""
        name = f"“{self.label}”"
        return {
            "added": f"{name} is in the definition alone: {self.there}.",
            "missing": f"{name} is in the dataset alone: {self.here}.",
            "type": f"{name} is {self.here} in the dataset, {self.there} in the definition.",
            "rules": f"{name} has other rules. Dataset: {self.here}. Definition: {self.there}.",
            "key": f"The key is {self.here} in the dataset, {self.there} in the definition.",
            "order": "The columns stand in another order.",
            "title": f"The title is “{self.here}” in the dataset, “{self.there}” in the definition.",
        }[self.kind]


def compare(spec: DatasetSpec, stated: Definition) -> list[Difference]:
    """Return every difference: first columns, in the definition's order, then what is only here, then the rest."""
    own = {column.label: column for column in spec.columns}
    wanted = {column.label: column for column in stated.columns}
    found: list[Difference] = []
    for label, column in wanted.items():
        found += _of_column(own.get(label), column)
    found += [
        Difference("missing", label, _all_words(column), "")
        for label, column in own.items()
        if label not in wanted
    ]
    key = [column.label for column in spec.key_columns]
    if key != list(stated.key):
        found.append(Difference("key", "", _listed(key), _listed(stated.key)))
    common = [label for label in wanted if label in own]
    if common != [label for label in own if label in wanted]:
        found.append(Difference("order", "", "", ""))
    if stated.title and stated.title != spec.title:
        found.append(Difference("title", "", spec.title, stated.title))
    return found


def new_columns(spec: DatasetSpec, stated: Definition) -> list[NewColumn]:
    """Return the columns that only the definition has, in its order."""
    own = {column.label for column in spec.columns}
    return [column for column in stated.columns if column.label not in own]


def _of_column(own: ColumnSpec | None, column: NewColumn) -> list[Difference]:
    wanted = _spec(column)
    if own is None:
        return [Difference("added", column.label, "", _all_words(wanted))]
    found = []
    if own.type != wanted.type:
        found.append(Difference("type", column.label, type_words(own.type), type_words(wanted.type)))
    here = (own.is_required, own.is_unique, own.options)
    if here != (wanted.is_required, wanted.is_unique, wanted.options) and (
        (words := _listed(rule_words(own))) != (others := _listed(rule_words(wanted)))
        or own.type == wanted.type
    ):
        found.append(Difference("rules", column.label, words, others))
    return found


def _spec(column: NewColumn) -> ColumnSpec:
    return ColumnSpec(0, column.label, column.type, column.is_required, column.is_unique, column.options)


def _all_words(column: ColumnSpec) -> str:
    return "; ".join([type_words(column.type), *rule_words(column)])


def _listed(words: list[str] | tuple[str, ...]) -> str:
    return "; ".join(words) or "none"
