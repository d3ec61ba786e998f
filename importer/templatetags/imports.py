"""Addresses of imports for the templates, which do not know whose pages they are shown on."""

from __future__ import annotations

from django import template

from importer import addresses
from importer.models import ImportJob

register = template.Library()


@register.simple_tag
def import_page(job: ImportJob, page: str = "change") -> str:
    """Return the address of a page of an import."""
    return addresses.address(job, page)


@register.simple_tag
def upload_page(job: ImportJob) -> str:
    """Return where another file for the same place is uploaded."""
    return addresses.upload_address(job)
