"""The demo's story: two tenants, their datasets, imports of every sort, one hourly export run of both."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management import call_command
from django.core.management.commands.migrate import Command as Migrate

from accounts.operators.models import Operator
from core.clock import now
from core.errors import RowhouseError
from core.storage import local_copy
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from exporter.models import ExportFile
from importer.models import ImportIssue
from jobs import services as jobs
from rowhouse.demo.files import FOLDER, faulty_navaids, renamed_cities
from rowhouse.measuring import measure_current
from tenants.models import Tenant
from tenants.services import provision_tenant, request_tenant

Say = Callable[[str], None]
OPERATOR_EMAIL = "operator@rowhouse.example"


class DemoFailed(RowhouseError):
    """A step of the demo did not give what it must."""

    code = "demo"


@dataclass(frozen=True, slots=True)
class Planned:
    """One dataset of the demo and the real file it is inferred from."""

    tenant: str
    slug: str
    title: str
    file: str
    key: tuple[str, ...]


# The slug `countries` stands in both tenants, with different columns.
DATASETS = (
    Planned("acme", "countries", "Countries", "countries.csv", ("id",)),
    Planned("acme", "navaids", "Navigation aids", "navaids.csv", ("id",)),
    Planned("acme", "cities", "World cities", "world-cities.csv", ("geonameid",)),
    Planned("acme", "runways", "Runways", "runways.csv", ("id",)),
    Planned("globex", "countries", "Country codes", "country-codes.csv", ("ISO3166-1-Alpha-3",)),
    Planned("globex", "companies", "S&P 500 companies", "constituents.csv", ("Symbol",)),
    Planned("globex", "population", "Population", "population.csv", ("Country Code", "Year")),
)
TENANTS = {"acme": "Acme Aviation", "globex": "Globex Research"}


@dataclass
class Story:
    """One telling of the demo. `notes` is the file that keeps the passwords for the next start."""

    notes: Path
    say: Say

    def tell(self) -> dict[str, Any]:
        """Do everything and return the summary of the commands' contract."""
        self.migrate()
        refs = self.tenants()
        imports = self.imports(refs)
        exports = self.exports(refs, now())
        round_trip = self.round_trip(refs["acme"])
        for ref in refs.values():
            with in_tenant(ref):
                measure_current()
        self.remember(told=True)
        return {
            "tenants": [
                {"tenant": slug, "name": TENANTS[slug], "schema": ref.schema, "state": "ACTIVE"}
                for slug, ref in refs.items()
            ],
            "imports": imports,
            "exports": exports,
            "round_trip": round_trip,
        }

    def is_told(self) -> bool:
        """Return whether an earlier start did all of it."""
        return bool(self.remembered().get("told"))

    def remembered(self) -> dict[str, Any]:
        if not self.notes.exists():
            return {}
        kept: dict[str, Any] = json.loads(self.notes.read_text())
        return kept

    def remember(self, **values: Any) -> None:
        """Keep something for the next start; readable by this user alone, since passwords are among it."""
        kept = self.remembered() | values
        self.notes.parent.mkdir(parents=True, exist_ok=True)
        part = self.notes.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(json.dumps(kept))
        part.replace(self.notes)

    def new_password(self, who: str) -> str:
        """Return a new password, kept before it is set: an interrupted start must not lose it."""
        password = secrets.token_urlsafe(9)
        self.remember(**{who: password})
        return password

    def migrate(self) -> None:
        self.say("Migrating the platform's schema …")
        call_command(Migrate(), interactive=False, verbosity=0)
        if not Operator.objects.filter(email=OPERATOR_EMAIL).exists():
            Operator.objects.create_operator(
                email=OPERATOR_EMAIL, password=self.new_password("operator"), name="Olga Operator"
            )

    def tenants(self) -> dict[str, TenantRef]:
        """Set up the tenants, or go on with those that an interrupted start left."""
        refs = {}
        for slug, name in TENANTS.items():
            tenant = Tenant.objects.filter(slug=slug).first()
            if tenant is None:
                tenant = request_tenant(
                    slug=slug, name=name, owner_email=f"owner@{slug}.example", by="demo", provision_now=True
                )
            if tenant.state != Tenant.State.ACTIVE:
                self.say(f"Provisioning {name} …")
                provision_tenant(tenant=tenant, owner_password=self.new_password(slug))
            refs[slug] = tenant.ref
        return refs

    def imports(self, refs: dict[str, TenantRef]) -> list[dict[str, Any]]:
        """Define the datasets and import into them: good files, one again, a faulty and a renamed one."""
        done = []
        for planned in DATASETS:
            with in_tenant(refs[planned.tenant]):
                is_new = not Dataset.objects.filter(slug=planned.slug).exists()
            if is_new:
                self._define(planned)
            done.append(self._import(planned.tenant, planned.slug, FOLDER / planned.file, "good"))
        done.append(self._import("acme", "cities", FOLDER / "world-cities.csv", "repeated"))
        with TemporaryDirectory() as folder:
            done.append(self._faulty(refs["acme"], Path(folder)))
            renamed = Path(folder) / "cities-renamed.csv"
            renamed.write_bytes(renamed_cities())
            done.append(self._import("acme", "cities", renamed, "renamed"))
        return done

    def _define(self, planned: Planned) -> None:
        self.say(f"{planned.tenant}: inferring {planned.title} from {planned.file} …")
        keys = [part for label in planned.key for part in ("--key", label)]
        _command(
            "create_dataset", "--tenant", planned.tenant, "--name", planned.title, "--slug", planned.slug,
            "--infer", str(FOLDER / planned.file), *keys,
        )  # fmt: skip

    def _import(self, tenant: str, dataset: str, file: Path, story: str) -> dict[str, Any]:
        person = f"owner@{tenant}.example"
        said = _command("import_file", str(file), "--tenant", tenant, "--dataset", dataset, "--as", person)
        if said["state"] != "IMPORT_SUCCEEDED":
            raise DemoFailed(f"{file.name} was not imported into {tenant}/{dataset}: it is {said['state']}.")
        counts = {name: said[name] for name in ("created", "updated", "unchanged", "rejected")}
        self.say(
            f"{tenant}: {file.name} → {dataset} ({story}): "
            + ", ".join(f"{count:,} {name}" for name, count in counts.items())
        )
        return {
            "tenant": tenant,
            "dataset": dataset,
            "file": file.name,
            "story": story,
            "job": said["job"],
            **counts,
        }

    def _faulty(self, ref: TenantRef, folder: Path) -> dict[str, Any]:
        faulty = faulty_navaids()
        file = folder / "navaids-faulty.csv"
        file.write_bytes(faulty.content)
        done = self._import("acme", "navaids", file, "faulty")
        with in_tenant(ref):
            issues = list(
                ImportIssue.objects.filter(job_id=done["job"])
                .order_by("row", "column")
                .values("row", "line", "column", "value", "code")
            )
        planted = [fault.as_dict() for fault in faulty.faults]
        if issues != planted or done["rejected"] != faulty.rejected:
            raise DemoFailed(f"The faulty file gave {issues}, not the planted {planted}.")
        return {**done, "issues": issues, "planted": planted}

    def exports(self, refs: dict[str, TenantRef], at: datetime) -> list[dict[str, Any]]:
        """Run this hour's export of both tenants, as the dispatcher submits it."""
        self.say("Running this hour's exports …")
        slot = at.replace(minute=0, second=0, microsecond=0).isoformat()
        done = []
        for slug, ref in refs.items():
            with in_tenant(ref):
                job = jobs.submit(
                    "exporter.run",
                    target=slot,
                    payload={"slot": slot},
                    idem_key=f"{ref.schema}:exporter.run:{slot}",
                )
                ended = jobs.run_until_done(job.pk)
                if ended.state != "DONE":
                    raise DemoFailed(f"The export of {slug} ended {ended.state}: {ended.error}")
                files = ExportFile.objects.filter(deleted_at=None).select_related("dataset").order_by("pk")
                for file in files:
                    dataset = file.dataset.slug if file.dataset else ""
                    done.append(
                        {
                            "tenant": slug,
                            "dataset": dataset,
                            "key": file.key,
                            "rows": file.rows,
                            "sha256": file.sha256,
                        }
                    )
                    self.say(f"{slug}: {file.key} ({file.rows:,} rows)")
        return done

    def round_trip(self, ref: TenantRef) -> dict[str, Any]:
        """Import the newest export of a dataset back: nothing may change."""
        with TemporaryDirectory() as folder:
            copy = Path(folder) / "cities-export.csv"
            with in_tenant(ref):
                file = ExportFile.objects.filter(dataset__slug="cities", deleted_at=None).latest("pk")
                copy.write_bytes(local_copy(file.key, file.sha256).read_bytes())
            return self._import(ref.slug, "cities", copy, "export imported back")


def _command(name: str, *arguments: str) -> dict[str, Any]:
    """Run one of our commands and return its JSON.

    :raises DemoFailed: it was refused; its sentence is the message.
    """
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(name, *arguments, "--json", stdout=out, stderr=err)
    except SystemExit as ended:
        if ended.code != 3:  # done, with rejected rows
            raise DemoFailed(err.getvalue().strip() or f"{name} ended with {ended.code}") from None
    said: dict[str, Any] = json.loads(out.getvalue())
    return said
