"""Backups in the platform's bucket."""

from __future__ import annotations

from core.s3 import S3Store
from tenants.backup.prefix import PREFIX


class S3Backups(S3Store):
    """The platform's bucket, under the prefix of backups."""

    @property
    def root(self) -> str:
        return PREFIX
