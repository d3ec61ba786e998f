"""The naive way: each import and each export is one task of the queue library, first come first served.

What a task does is ours, so that only the way it gets its turn differs.
"""

from __future__ import annotations

from django.db import connection, transaction
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.tasks import async_task

from core.tenancy import TenantRef, in_public, in_tenant
from importer.models import ImportJob
from importer.services import confirm_import
from jobs.models import Job
from jobs.services import run_until_done


def hand_over(job: Job) -> None:
    """Make a task of a job that was just submitted, in the same transaction."""
    _put("run", TenantRef(job.schema, job.slug), job.pk)


def hand_over_import(tenant: TenantRef, import_pk: int) -> None:
    """Make one task of a whole import, in the transaction that made it."""
    _put("run_import", tenant, import_pk)


def run(schema: str, slug: str, job_pk: int) -> None:
    """Do a job as one task."""
    with in_tenant(TenantRef(schema, slug)):
        run_until_done(job_pk)


def run_import(schema: str, slug: str, import_pk: int) -> None:
    """Preview and merge a file as one task."""
    with in_tenant(TenantRef(schema, slug)):
        job = ImportJob.objects.get(pk=import_pk)
        run_until_done(int(job.preview_job_id))
        job.refresh_from_db()
        with transaction.atomic():
            confirm_import(job=job, by=None)
            _hush()
        job.refresh_from_db()
        run_until_done(int(job.merge_job_id))


def _put(function: str, tenant: TenantRef, pk: int) -> None:
    with in_public():
        _hush()
        broker = ORM(list_key=Conf.CLUSTER_NAME)
        async_task(f"benchmarks.jobs_peer.{function}", tenant.schema, tenant.slug, pk, broker=broker)


def _hush() -> None:
    """Take back our own bells of this transaction: nobody here understands them."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM public.django_q_ormq WHERE payload = 'bell'")
