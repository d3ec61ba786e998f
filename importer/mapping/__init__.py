"""From the labels of a file to the columns of a dataset: the same guess every time, never a column twice.

Pure: no Django, no storage, no clock.
"""

from importer.mapping.choice import choose, doubtful, rechosen, saved_from, unused
from importer.mapping.faults import Fault, faults
from importer.mapping.labels import key_of, normalise
from importer.mapping.limits import MOST_JOINED
from importer.mapping.match import Match
from importer.mapping.problems import clash, first_matches, problems
from importer.mapping.suggestion import Samples, absent, changes, guessed_reading, suggest
from importer.mapping.wishes import Wish, plain_wishes, wishes_of
from importer.mapping.written import BadMapping, UnknownColumn, is_plain, read_mapping, write_mapping

__all__ = [
    "MOST_JOINED",
    "BadMapping",
    "Fault",
    "Match",
    "Samples",
    "UnknownColumn",
    "Wish",
    "absent",
    "changes",
    "choose",
    "clash",
    "doubtful",
    "faults",
    "first_matches",
    "guessed_reading",
    "is_plain",
    "key_of",
    "normalise",
    "plain_wishes",
    "problems",
    "read_mapping",
    "rechosen",
    "saved_from",
    "suggest",
    "unused",
    "wishes_of",
    "write_mapping",
]
