"""Datasets in the admin: the list people start from, the definition, and the way to the records."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import NON_FIELD_ERRORS
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, reverse
from django.urls.resolvers import URLPattern, URLResolver
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline

from accounts.models import User
from accounts.sites import tenant_site
from datasets import access, checking, pruning, references, services, stats
from datasets.admin.beginning import from_file_url
from datasets.admin.definition import definition_urls
from datasets.admin.history import GuardedHistoryAdmin
from datasets.admin.links import definition_links, record_links
from datasets.admin.matrix import matrix_view, tenant_matrix_view
from datasets.admin.moments import moment_urls
from datasets.admin.records import row_urls
from datasets.admin.rights import columns_view, rights_view
from datasets.check_lines import text_of
from datasets.forms import OUTDATED, DatasetForm, NewColumnForm, NewColumnFormSet
from datasets.models import Column, Dataset
from datasets.wording import rule_words


class ColumnsInline(TabularInline):
    """Columns have no rights of their own: they are part of their dataset."""

    model = Column
    show_title = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None:
            return access.may(request.user, "manage", obj)
        return bool(request.user.has_perm("datasets.change_dataset"))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and bool(request.user.has_perm("datasets.add_dataset"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:  # the head of the table says it to eyes only
            field.widget.attrs["aria-label"] = str(db_field.verbose_name)
        return field


class NewColumns(ColumnsInline):
    """The columns of a dataset that is being defined."""

    form = NewColumnForm
    formset = NewColumnFormSet
    fields = (
        "label", "type", "is_required", "is_unique", "is_key", "precision", "scale", "choices", "region", "target",
        "minimum", "maximum", "min_length", "max_length", "pattern", "default",
    )  # fmt: skip
    extra = 5
    max_num = 500
    verbose_name_plural = "columns"


class Columns(ColumnsInline):
    """The columns of a dataset that exists: labels change without touching the table."""

    fields = ("label", "type", "required", "unique", "rules", "change")
    readonly_fields = ("type", "required", "unique", "rules", "change")
    extra = 0
    can_delete = False

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        self.visible = None if obj is None else [one.pk for one in access.visible_columns(request.user, obj)]
        return super().get_formset(request, obj, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Column]:
        columns: QuerySet[Column] = (
            super().get_queryset(request).filter(is_retired=False).select_related("dataset")
        )
        # The instance is made for one request, and asked for its form first.
        return columns if self.visible is None else columns.filter(pk__in=self.visible)

    visible: list[int] | None = None

    # Words, and no pictures: a dataset has up to 500 columns, all on this page.
    @admin.display(description="required")
    def required(self, column: Column) -> str:
        return "yes" if column.is_required else "no"

    @admin.display(description="unique")
    def unique(self, column: Column) -> str:
        return "yes" if column.is_unique else "no"

    @admin.display(description="rules")
    def rules(self, column: Column) -> str:
        """Say what else the column holds, in words."""
        words = rule_words(column.spec(), is_key=column.pk in column.dataset.key)
        return "; ".join(words) or "none"

    @admin.display(description="change")
    def change(self, column: Column) -> str:
        """Link to where the column's type and rules are changed."""
        if not column.pk:
            return "-"  # a line that somebody sent and no page offered
        url = reverse("admin:datasets_change_ask_column", args=(column.pk,))
        return format_html('<a href="{}" class="rh-link whitespace-nowrap">Change type or rules</a>', url)


@admin.register(Dataset, site=tenant_site)
class DatasetAdmin(GuardedHistoryAdmin, ModelAdmin):
    """Lists what a user may see; makes, renames and deletes through the services."""

    list_display = ("name", "records", "columns_in_use", "last_change", "definition")
    list_display_links = None
    list_filter = ("created_at",)
    search_fields = ("title", "slug")
    ordering = ("title", "pk")
    form = DatasetForm
    can_revert = False  # a former definition would not fit the table
    list_before_template = "datasets/datasets_head.html"
    change_form_outer_before_template = "datasets/dataset_head.html"
    change_form_before_template = "datasets/definition_seen.html"
    delete_confirmation_template = "datasets/delete_confirmation.html"
    history_list_display = ("history_change_reason",)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        # Before the stock ones: `<path:object_id>/history/` would take `7/rows/5/history/`.
        return [
            path(
                "<int:dataset_id>/rows/", include([*moment_urls(self.admin_site), *row_urls(self.admin_site)])
            ),
            path(
                "<int:dataset_id>/rights/",
                self.admin_site.admin_view(rights_view),
                {"site": self.admin_site},
                name="datasets_dataset_rights",
            ),
            *definition_urls(self.admin_site),
            path(
                "<int:dataset_id>/rights/columns/",
                self.admin_site.admin_view(columns_view),
                {"site": self.admin_site},
                name="datasets_dataset_rights_columns",
            ),
            path(
                "<int:dataset_id>/rights/matrix/",
                self.admin_site.admin_view(matrix_view),
                {"site": self.admin_site},
                name="datasets_dataset_rights_matrix",
            ),
            path(
                "rights/",
                self.admin_site.admin_view(tenant_matrix_view),
                {"site": self.admin_site},
                name="datasets_dataset_rights_everywhere",
            ),
            *super().get_urls(),
        ]

    # ---- who

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dataset]:
        datasets = Dataset.objects.all()
        if not self._holds(request, "view", "change", "delete"):
            datasets = access.datasets_for(request.user) | access.datasets_for(request.user, "manage")
        in_use = Count("columns", filter=Q(columns__is_retired=False), distinct=True)
        return datasets.annotate(column_count=in_use).order_by("title", "pk")

    def _holds(self, request: HttpRequest, *actions: str) -> bool:
        return any(request.user.has_perm(f"datasets.{action}_dataset") for action in actions)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if self._holds(request, "view", "change"):
            return True
        if obj is not None:
            return not {"view", "manage"}.isdisjoint(access.rights_of(request.user, obj))
        return self.get_queryset(request).exists()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._holds(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._holds(request, "change") or (obj is not None and access.may(request.user, "manage", obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._holds(request, "delete")

    # ---- the list

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Dataset], search_term: str
    ) -> tuple[QuerySet[Dataset], bool]:
        # Labels of hidden columns could be told from what a search finds; a retired column leads nobody to its dataset.
        sees_all = access.sees_all_columns(request.user)
        for word in search_term[:200].replace("\x00", " ").split()[:8]:
            found = Q(title__icontains=word) | Q(slug__icontains=word)
            if sees_all:
                columns = Column.objects.filter(is_retired=False, label__icontains=word)
                found |= Q(pk__in=columns.values("dataset"))
            queryset = queryset.filter(found)
        return queryset, False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "title": "Datasets",
            "may_add": self.has_add_permission(request),
            "from_file_url": from_file_url(),
            "is_empty": not self.get_queryset(request).exists(),
            **(extra_context or {}),
        }
        response = super().changelist_view(request, context)
        shown = getattr(response, "context_data", {}).get("cl")
        if shown is not None:
            _attach_stats(shown.result_list)
        return response  # type: ignore[no-any-return]

    @admin.display(description="dataset", ordering="title")
    def name(self, dataset: Dataset) -> str:
        url = reverse("admin:datasets_row_changelist", args=(dataset.pk,))
        return format_html('<a href="{}" class="font-semibold text-important">{}</a>', url, dataset.title)

    @admin.display(description="records")
    def records(self, dataset: Any) -> str:
        return str(dataset.records_label)

    @admin.display(description="columns", ordering="column_count")
    def columns_in_use(self, dataset: Any) -> int:
        return int(dataset.column_count)

    @admin.display(description="last change of a record")
    def last_change(self, dataset: Any) -> Any:
        return dataset.last_change_at

    @admin.display(description="definition")
    def definition(self, dataset: Dataset) -> str:
        url = reverse("admin:datasets_dataset_change", args=(dataset.pk,))
        return format_html('<a href="{}">Definition</a>', url)

    # ---- the definition

    @admin.display(description="checks", empty_value="none")
    def check_lines(self, dataset: Dataset) -> str:
        """Show the checks to those who may not change them."""
        return text_of(dataset.spec())

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [NewColumns if obj is None else Columns]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return (
            ["title", "check_lines"]
            if obj is None
            else ["title", "slug", "check_lines", "history_days", "definition_version", "created_at"]
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if obj is None else ["slug", "definition_version", "created_at"]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        dataset = self.get_object(request, object_id) if object_id else None
        context = dict(extra_context or {})
        if dataset is not None:
            rights = access.rights_of(request.user, dataset)
            context["links"] = record_links(request, dataset, rights)
            context["definition_links"] = definition_links(request, dataset)
            context["rows_url"] = reverse("admin:datasets_row_changelist", args=(dataset.pk,))
            context["may_view"] = "view" in rights
            if self.has_change_permission(request):
                context["key_url"] = reverse("admin:datasets_change_ask_key", args=(dataset.pk,))
                context["changes_url"] = (
                    f"{reverse('admin:datasets_change_changelist')}?dataset__id__exact={dataset.pk}"
                )
        response: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        shown = (getattr(response, "context_data", None) or {}).get("adminform")
        if shown is not None and shown.form.is_bound and shown.form.has_error(NON_FIELD_ERRORS, OUTDATED):
            response.status_code = 409
        return response

    def save_model(self, request: HttpRequest, obj: Dataset, form: Any, change: bool) -> None:
        """Leave it to save_related, which knows the columns too."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        dataset: Dataset = form.instance
        if change:
            labels = {row.instance.pk: row.instance.label for formset in formsets for row in formset.forms}
            seen: int | None = form.seen
            if "check_lines" in request.POST and "check_lines" in form.changed_data:
                checking.set_checks(dataset=dataset, checks=form.checks(), seen=seen, by=_person(request))
                seen = None  # from here on it is held, and the version is this person's own
            services.rename_dataset(
                dataset=dataset, title=dataset.title, labels=labels, seen=seen, by=_person(request)
            )
            if "history_days" in request.POST and "history_days" in form.changed_data:
                days = form.cleaned_data["history_days"]
                pruning.set_history_days(dataset=dataset, days=days, by=_person(request))
        else:
            [columns] = formsets
            made = services.create_dataset(
                title=dataset.title,
                columns=columns.columns(),
                key=columns.key(),
                checks=form.checks(),
                by=_person(request),
            )
            dataset.__dict__.update(made.__dict__)
        for formset in formsets:  # what stock code reads to describe the change
            formset.new_objects, formset.deleted_objects = [], []
            formset.changed_objects = [
                (row.instance, row.changed_data) for row in formset.forms if change and row.has_changed()
            ]

    def response_add(self, request: HttpRequest, obj: Dataset, post_url_continue: str | None = None) -> Any:
        if "_continue" not in request.POST and "_addanother" not in request.POST:
            post_url_continue = reverse("admin:datasets_row_changelist", args=(obj.pk,))
            messages.success(request, f"The dataset “{obj.title}” is there. Import a file or add records.")
            return self._redirect(post_url_continue)
        return super().response_add(request, obj, post_url_continue)

    def _redirect(self, url: str) -> HttpResponse:
        return HttpResponse(status=302, headers={"Location": url})

    # ---- deleting

    def delete_model(self, request: HttpRequest, obj: Dataset) -> None:
        services.delete_dataset(dataset=obj, by=_person(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Dataset]) -> None:
        for dataset in references.referring_first(queryset):
            services.delete_dataset(dataset=dataset, by=_person(request))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Say how many records go; what other apps keep of a dataset goes with it."""
        datasets = list(objs)
        counts = stats.record_counts([f"ds_{dataset.pk}" for dataset in datasets])
        shown = []
        for dataset in datasets:
            count, is_exact = counts[f"ds_{dataset.pk}"]
            label = stats.count_label(count, is_exact=is_exact)
            shown.append(f"{dataset.title}: {label} records, their history, the rights and the imports")
        lacking = set() if self.has_delete_permission(request) else {"dataset"}
        return shown, {"datasets": len(datasets)}, lacking, references.outside(datasets)


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # the site lets nobody else in
    return request.user


def _attach_stats(datasets: Any) -> None:
    tables = [f"ds_{dataset.pk}" for dataset in datasets]
    counts, changes = stats.record_counts(tables), stats.last_changes(tables)
    for dataset in datasets:
        count, is_exact = counts[f"ds_{dataset.pk}"]
        dataset.records_label = stats.count_label(count, is_exact=is_exact)
        dataset.last_change_at = changes.get(f"ds_{dataset.pk}")
