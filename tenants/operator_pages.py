"""What operators see of a tenant and do with it, on the operator site: figures, limits, domains, notes, entries.

Every deed is a form of its own with what it does written above it; the service it calls decides and records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from unfold.contrib.filters.admin import DropdownFilter

from accounts.services import ROLES
from core.clock import now
from core.errors import RowhouseError
from core.quotas import LABELS, Resource, Use
from core.tenancy import in_tenant
from jobs import services as jobs
from jobs.models import Job
from jobs.models import State as JobState
from tenants import domains, entering, standing
from tenants.backup.models import TenantBackup
from tenants.figures import nearly_full as nearly_full_ones
from tenants.figures import past, stale, with_figures
from tenants.models import Domain, MigrationOutcome, Tenant
from tenants.notes import MOST_LETTERS, add_note
from tenants.operating_models import DomainClaim, EntryGrant, ReadOnlyTenant
from tenants.quotas import MEGABYTE, limits_of, set_quota

NOTES_SHOWN = 20
ENTRIES_SHOWN = 10


class AttentionFilter(DropdownFilter):
    """What an operator may want to look into."""

    title = "attention"
    parameter_name = "attention"
    conditions: dict[str, tuple[str, Callable[[], Any]]] = {
        "over": ("Has all it may have of something", lambda: past(100)),
        "nearly": ("Has 80 % of it or more", nearly_full_ones),
        "failed": ("Has failed jobs (last day)", lambda: Q(failed__gt=0)),
        "busy": ("Has jobs waiting or running", lambda: Q(queued__gt=0) | Q(running__gt=0)),
        "read-only": ("Is read-only", lambda: Exists(ReadOnlyTenant.objects.filter(tenant=OuterRef("pk")))),
        "entered": (
            "An operator is inside",
            lambda: Exists(
                EntryGrant.objects.filter(tenant=OuterRef("pk"), ended_at=None, expires_at__gt=now()).exclude(
                    entered_at=None
                )
            ),
        ),
        "claims": (
            "Has domains to be verified",
            lambda: Exists(DomainClaim.objects.filter(tenant=OuterRef("pk"))),
        ),
        "never-exported": ("Was never exported", lambda: Q(figures__last_export_at=None)),
        "not-measured": ("Was not measured lately", stale),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, label) for value, (label, _) in self.conditions.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> QuerySet[Tenant]:
        chosen = self.conditions.get(str(self.value()))
        return queryset.filter(chosen[1]()) if chosen else queryset


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        required=False,
        label="Why",
        help_text="Its people read it: “… is read-only for now: why”.",
    )


class NoteForm(forms.Form):
    text = forms.CharField(
        max_length=MOST_LETTERS,
        label="Note",
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="For operators alone. It cannot be changed or removed.",
    )


class DomainForm(forms.Form):
    domain = forms.CharField(max_length=253, label="Domain", help_text="As data.example.com")


class EntryForm(forms.Form):
    reason = forms.CharField(max_length=500, label="Why", help_text="The tenant's owners read it.")
    role = forms.ChoiceField(
        choices=[(one, one) for one in reversed(ROLES)],
        initial="viewer",
        label="As",
        help_text="What you may do there.",
    )
    minutes = forms.IntegerField(
        min_value=1, max_value=entering.MOST_MINUTES, initial=entering.USUAL_MINUTES, label="Minutes",
        help_text=f"1 to {entering.MOST_MINUTES}. Then the next request is refused.",
    )  # fmt: skip


class LimitsForm(forms.Form):
    """Empty: what the platform's settings say. Space is asked for in MB."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for one in Resource:
            label = "space in MB" if one is Resource.BYTES else LABELS[one]
            self.fields[one.value] = forms.IntegerField(
                min_value=0,
                required=False,
                label=f"{label[0].upper()}{label[1:]}",
                help_text="0: no limit. Empty: as for everybody.",
            )

    def limits(self) -> dict[Resource, int | None]:
        said = {one: self.cleaned_data[one.value] for one in Resource}
        space = said[Resource.BYTES]
        return said | {Resource.BYTES: None if space is None else space * MEGABYTE}


@dataclass(frozen=True, slots=True)
class Deed:
    """Something done with a tenant: `run` gets the tenant, who asks, and what the form holds."""

    title: str
    effect: str
    yes: str
    run: Callable[[Tenant, Any, dict[str, Any]], str]
    form: type[forms.Form] | None = None
    is_danger: bool = False


def _claim(tenant: Tenant, cleaned: dict[str, Any]) -> DomainClaim:
    return get_object_or_404(DomainClaim.objects.select_related("tenant"), tenant=tenant, pk=cleaned["which"])


def _domain(tenant: Tenant, cleaned: dict[str, Any]) -> Domain:
    found: Domain = get_object_or_404(
        Domain.objects.select_related("tenant"), tenant=tenant, pk=cleaned["which"]
    )
    return found


def _make_read_only(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    standing.make_read_only(tenant=tenant, reason=cleaned["reason"], by=by)
    return f"{tenant} is read-only."


def _make_writable(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    standing.make_writable(tenant=tenant, by=by)
    return f"{tenant} can be written to again."


def _measure(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    with in_tenant(tenant.ref):
        jobs.submit("rowhouse.measure", target="now", payload={})
    return "A worker measures it now. Look again in a moment."


def _add_note(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    add_note(tenant=tenant, text=cleaned["text"], by=by)
    return "The note is there."


def _set_limits(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    set_quota(tenant=tenant, limits=cleaned["limits"], by=by)
    return "The quotas hold from now on. What is there already stays."


def _claim_domain(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    claim = domains.claim_domain(tenant=tenant, domain=cleaned["domain"], by=by)
    return f"{claim} is claimed for {domains.CLAIM_DAYS} days. Have its owner add the record below, then verify it."


def _verify(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    return f"{domains.verify_domain(claim=_claim(tenant, cleaned), by=by)} leads to {tenant} now."


def _drop_claim(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    domains.drop_claim(claim=_claim(tenant, cleaned), by=by)
    return "The claim is given up."


def _make_primary(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    domain = _domain(tenant, cleaned)
    domains.make_primary(domain=domain, by=by)
    return f"{domain} is the primary domain now."


def _remove_domain(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    domain = _domain(tenant, cleaned)
    domains.remove_domain(domain=domain, by=by)
    return f"{domain} leads nowhere now."


def _end_entry(tenant: Tenant, by: Any, cleaned: dict[str, Any]) -> str:
    grant = get_object_or_404(EntryGrant, tenant=tenant, pk=cleaned["which"])
    entering.end_entry(grant=grant, by=by)
    return "The entry has ended: its next request is refused."


DEEDS: dict[str, Deed] = {
    "read-only": Deed(
        "Make {} read-only?",
        "Its people look and download; nothing they send is taken. Work that writes ends with nothing further applied. "
        "Exports and backups go on.",
        "Make it read-only",
        _make_read_only,
        ReasonForm,
    ),
    "writable": Deed(
        "Let {} be written to again?", "Its people can change things again.", "Make it writable", _make_writable
    ),
    "measure": Deed("Measure {} now?", "By itself this happens once an hour.", "Measure it", _measure),
    "limits": Deed(
        "Quotas of {}",
        "Whoever would go beyond one is refused, with the figures. The tenant's people see them.",
        "Set the quotas",
        _set_limits,
        LimitsForm,
    ),
    "note": Deed("A note on {}", "Other operators read it on the tenant's page.", "Add the note", _add_note, NoteForm),
    "domain": Deed(
        "A domain for {}",
        "It is routed once its owner has added a TXT record that shows it to be theirs, and you have verified that.",
        "Claim the domain",
        _claim_domain,
        DomainForm,
    ),
    "verify": Deed("Verify the domain?", "The record is looked up now; it takes some seconds.", "Verify", _verify),
    "drop-claim": Deed("Give up the claim?", "Its record is worth nothing any more.", "Give it up", _drop_claim),
    "primary": Deed("Make it the primary domain?", "Links to the tenant lead there.", "Make it primary", _make_primary),
    "remove-domain": Deed(
        "Remove the domain?",
        "It leads nowhere from now on. Whoever uses links to it finds nothing.",
        "Remove it",
        _remove_domain,
        is_danger=True,
    ),
    "end-entry": Deed("End the entry?", "Its next request is refused.", "End it", _end_entry, is_danger=True),
}  # fmt: skip


class Operated:
    """Mixin of the admin of tenants, before ModelAdmin: figures in the list and on the page, and the deeds."""

    admin_site: Any

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        ours = [
            path("<int:pk>/enter/", wrap(self.enter_view), name="tenants_tenant_enter"),
            path("<int:pk>/do/<str:deed>/", wrap(self.deed_view), name="tenants_tenant_do"),
        ]
        return [*ours, *super().get_urls()]  # type: ignore[misc] # ModelAdmin's

    # ---- the list

    @admin.display(description="space", ordering="all_bytes")
    def space(self, tenant: Any) -> str:
        return filesizeformat(tenant.all_bytes) if tenant.all_bytes is not None else "–"

    @admin.display(description="records", ordering="figures__rows")
    def records(self, tenant: Any) -> str:
        figures = _figures(tenant)
        return f"{figures.rows:,}" if figures else "–"

    @admin.display(description="last export (UTC)", ordering="figures__last_export_at")
    def last_export(self, tenant: Any) -> str:
        figures = _figures(tenant)
        return f"{figures.last_export_at:%Y-%m-%d %H:%M}" if figures and figures.last_export_at else "–"

    @admin.display(description="jobs", ordering="queued")
    def work(self, tenant: Any) -> str:
        return (
            f"{tenant.running} running, {tenant.queued} waiting" if tenant.running or tenant.queued else "–"
        )

    @admin.display(description="failed (day)", ordering="failed")
    def failures(self, tenant: Any) -> str:
        return f"{tenant.failed:,}" if tenant.failed else "–"

    @admin.display(description="measured (UTC)", ordering="figures__measured_at")
    def measured(self, tenant: Any) -> str:
        figures = _figures(tenant)
        return f"{figures.measured_at:%Y-%m-%d %H:%M}" if figures else "not yet"

    # ---- the page

    def page_of(self, tenant: Any) -> dict[str, Any]:
        """Return what the tenant's page shows besides its fields."""
        limits = limits_of(tenant.schema_name)
        figures = _figures(tenant)
        has = {
            Resource.ROWS: figures.rows if figures else 0,
            Resource.BYTES: figures.bytes if figures else 0,
            Resource.DATASETS: figures.datasets if figures else 0,
            Resource.JOBS: tenant.running + tenant.queued,
            Resource.USERS: figures.users if figures else 0,
        }
        failed = Job.objects.filter(schema=tenant.schema_name, state=JobState.FAILED).order_by("-finished_at")
        base = reverse("operator:jobs_job_changelist")
        return {
            "tenant": tenant,
            "figures": figures,
            "rows": f"{figures.rows:,}" if figures else "–",
            "uses": [Use(one, has[one], limits[one]) for one in Resource],
            "last_failed": failed.first(),
            "jobs_url": f"{base}?tenant={tenant.slug}",
            "read_only": ReadOnlyTenant.objects.filter(tenant=tenant).first(),
            "domains": list(Domain.objects.filter(tenant=tenant).order_by("-is_primary", "domain")),
            "claims": [
                {"claim": one, "record": domains.instructions(one), "is_over": one.expires_at <= now()}
                for one in DomainClaim.objects.filter(tenant=tenant).order_by("domain")
            ],
            "notes": list(tenant.notes.all()[:NOTES_SHOWN]),
            "entries": [
                {"grant": one, "is_open": one.ended_at is None and one.expires_at > now()}
                for one in tenant.entries.all()[:ENTRIES_SHOWN]
            ],
            "more_cards": [_backup_card(tenant), _migration_card(tenant)],
            "is_active": tenant.state == Tenant.State.ACTIVE,
            "is_in_use": tenant.state in {Tenant.State.ACTIVE, Tenant.State.SUSPENDED},
        }

    def deed_view(self, request: HttpRequest, pk: int, deed: str) -> HttpResponse:
        """Ask for what a deed needs; a POST does it."""
        tenant = get_object_or_404(Tenant, pk=pk)
        if deed not in DEEDS:
            raise Http404
        chosen = DEEDS[deed]
        sent = request.POST if request.method == "POST" else None
        form = chosen.form(sent, initial=_initial(tenant, deed)) if chosen.form else None
        problem = ""
        if request.method == "POST" and (form is None or form.is_valid()):
            try:
                cleaned = {**(form.cleaned_data if form else {}), "which": _number(request.POST.get("which"))}
                if isinstance(form, LimitsForm):
                    cleaned["limits"] = form.limits()
                messages.info(request, chosen.run(tenant, request.user, cleaned))
            except RowhouseError as error:
                problem = error.message
            else:
                return HttpResponseRedirect(_page(tenant))
        return self._ask(request, tenant, chosen, form, problem)

    def enter_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask why an operator wants in; a POST makes the grant and shows the way in."""
        tenant = get_object_or_404(Tenant, pk=pk)
        form = EntryForm(request.POST if request.method == "POST" else None)
        problem = ""
        if request.method == "POST" and form.is_valid():
            try:
                grant = entering.grant_entry(tenant=tenant, operator=request.user, **form.cleaned_data)  # type: ignore[arg-type]
            except RowhouseError as error:
                problem = error.message
            else:
                return render(
                    request,
                    "tenants/granted.html",
                    {
                        **self.admin_site.each_context(request),
                        "title": f"Enter {tenant}",
                        "grant": grant,
                        "address": entry_address(request, grant),
                        "seconds": entering.LINK_SECONDS,
                        "back": _page(tenant),
                    },
                )
        deed = Deed(
            "Enter {}",
            "You come in as a person of your own, for the time you say. The tenant's owners see that you are inside "
            "and why, and can end it; what you change is recorded under your name, on both sides.",
            "Make the entry",
            _add_note,
        )
        return self._ask(request, tenant, deed, form, problem)

    def _ask(
        self, request: HttpRequest, tenant: Tenant, deed: Deed, form: forms.Form | None, problem: str
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": deed.title.format(tenant),
            "deed": deed,
            "form": form,
            "problem": problem,
            "which": request.POST.get("which") or request.GET.get("which", ""),
            "back": _page(tenant),
        }
        is_wrong = bool(problem) or (form is not None and bool(form.errors))
        return render(request, "tenants/ask.html", context, status=422 if is_wrong else 200)


def entry_address(request: HttpRequest, grant: EntryGrant) -> str:
    """Return the address that lets in once: on the tenant's primary domain, by the request's own scheme and port."""
    domain = Domain.objects.filter(tenant=grant.tenant).order_by("-is_primary", "pk").first()
    port = request.get_port()
    behind = "" if port in {"80", "443"} else f":{port}"
    page = reverse("admin:tenants_enter", urlconf=settings.ROOT_URLCONF)
    return f"{request.scheme}://{domain}{behind}{page}?token={entering.token_of(grant)}"


def listed(tenants: QuerySet[Any]) -> QuerySet[Any]:
    """Return tenants as the list and the page need them: one statement, however many they are."""
    return with_figures(tenants)


def _backup_card(tenant: Tenant) -> dict[str, str]:
    kept = TenantBackup.objects.filter(tenant=tenant, deleted_at=None)
    last = kept.filter(state=TenantBackup.State.SUCCEEDED).order_by("-taken_at").first()
    page = f"{reverse('operator:tenants_tenantbackup_changelist')}?q={tenant.slug}"
    if last is None or last.taken_at is None:
        return {"label": "Last backup", "value": "none", "note": "a worker takes one every day", "url": page}
    tried = (
        f"{last.get_verdict_display()}, {last.verified_at:%Y-%m-%d}" if last.verified_at else "not tried yet"
    )
    value = f"{last.taken_at:%Y-%m-%d %H:%M}"
    return {
        "label": "Last backup",
        "value": value,
        "note": f"{filesizeformat(last.bytes)}, {tried}",
        "url": page,
    }


def _migration_card(tenant: Tenant) -> dict[str, str]:
    last = MigrationOutcome.objects.filter(schema=tenant.schema_name).order_by("-at").first()
    if last is None:
        return {"label": "Last migration", "value": "none", "note": "set up by this release"}
    error = f": {last.error[:200]}" if last.error else ""
    return {
        "label": "Last migration", "value": f"{last.at:%Y-%m-%d %H:%M}", "note": f"{last.get_state_display()}{error}"
    }  # fmt: skip


def _figures(tenant: Any) -> Any:
    return getattr(tenant, "figures", None)


def _initial(tenant: Tenant, deed: str) -> dict[str, Any]:
    own = getattr(tenant, "limits", None) if deed == "limits" else None
    if own is None:
        return {}
    space = None if own.bytes is None else own.bytes // MEGABYTE
    return {one.value: getattr(own, one.value) for one in Resource} | {Resource.BYTES.value: space}


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 18 else 0


def _page(tenant: Tenant) -> str:
    return reverse("operator:tenants_tenant_change", args=[tenant.pk])
