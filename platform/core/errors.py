"""The one base of every error we raise on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class RowhouseError(Exception):
    """Something a person asked for cannot be done now; the message says why and what to do next.

    Pages turn it into a sentence with status 4xx, commands into `error[code]: sentence`, the job
    boundary into a failed job with `error_code`. It is never logged as an error.

    One that `is_passing` may be over by itself (a storage that does not answer): a job is tried again by its rules.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 409
    is_passing: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadFields(RowhouseError):
    """What was entered cannot be; `faults` has a sentence for each field that is wrong."""

    status = 422

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(" ".join(faults.values()))
        self.faults = dict(faults)
