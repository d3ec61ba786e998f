"""Datasets in the admin: the list people start from, the definition, and the way to the records."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, reverse
from django.urls.resolvers import URLPattern, URLResolver
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline

from accounts.models import User
from accounts.sites import tenant_site
from datasets import access, references, services, stats
from datasets.admin.history import GuardedHistoryAdmin
from datasets.admin.links import record_links
from datasets.admin.records import row_urls
from datasets.admin.rights import rights_view
from datasets.forms import NewColumnForm, NewColumnFormSet
from datasets.models import Column, Dataset


class ColumnsInline(TabularInline):
    """Columns have no rights of their own: they are part of their dataset."""

    model = Column
    show_title = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("datasets.change_dataset"))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and bool(request.user.has_perm("datasets.add_dataset"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewColumns(ColumnsInline):
    """The columns of a dataset that is being defined."""

    form = NewColumnForm
    formset = NewColumnFormSet
    fields = (
        "label",
        "type",
        "is_required",
        "is_unique",
        "is_key",
        "precision",
        "scale",
        "choices",
        "target",
    )
    extra = 5
    max_num = 500
    verbose_name_plural = "columns"


class Columns(ColumnsInline):
    """The columns of a dataset that exists: labels change without touching the table."""

    fields = ("label", "type", "is_required", "is_unique", "rules")
    readonly_fields = ("type", "is_required", "is_unique", "rules")
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Column]:
        return super().get_queryset(request).filter(is_retired=False)  # type: ignore[no-any-return]

    @admin.display(description="rules")
    def rules(self, column: Column) -> str:
        """Say what else the column holds, in words."""
        options, words = column.spec().options, []
        if column.pk in column.dataset.key:
            words.append("key")
        if options.target is not None:
            return "; ".join([*words, f"{options.target.label} of “{options.target.title}”"])
        if options.precision is not None:
            words.append(f"{options.precision} digits, {options.scale} after the point")
        if options.choices:
            words.append("one of " + ", ".join(options.choices[:10]))
        if options.minimum is not None:
            words.append(f"from {options.minimum}")
        if options.maximum is not None:
            words.append(f"to {options.maximum}")
        if options.max_length is not None:
            words.append(f"at most {options.max_length} characters")
        return "; ".join(words) or "none"


@admin.register(Dataset, site=tenant_site)
class DatasetAdmin(GuardedHistoryAdmin, ModelAdmin):
    """Lists what a user may see; makes, renames and deletes through the services."""

    list_display = ("name", "records", "columns_in_use", "last_change", "definition")
    list_display_links = None
    list_filter = ("created_at",)
    search_fields = ("title", "slug", "columns__label")
    ordering = ("title", "pk")
    can_revert = False  # a former definition would not fit the table
    list_before_template = "datasets/datasets_head.html"
    change_form_outer_before_template = "datasets/dataset_head.html"
    delete_confirmation_template = "datasets/delete_confirmation.html"
    history_list_display = ("history_change_reason",)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        # Before the stock ones: `<path:object_id>/history/` would take `7/rows/5/history/`.
        return [
            path("<int:dataset_id>/rows/", include(row_urls(self.admin_site))),
            path(
                "<int:dataset_id>/rights/",
                self.admin_site.admin_view(rights_view),
                {"site": self.admin_site},
                name="datasets_dataset_rights",
            ),
            *super().get_urls(),
        ]

    # ---- who

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dataset]:
        datasets = Dataset.objects.all()
        if not self._holds(request, "view", "change", "delete"):
            datasets = access.datasets_for(request.user)
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
            return access.may(request.user, "view", obj)
        return access.datasets_for(request.user).exists()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._holds(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._holds(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._holds(request, "delete")

    # ---- the list

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "title": "Datasets",
            "may_add": self.has_add_permission(request),
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

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [NewColumns if obj is None else Columns]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["title"] if obj is None else ["title", "slug", "definition_version", "created_at"]

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
            context["rows_url"] = reverse("admin:datasets_row_changelist", args=(dataset.pk,))
            context["may_view"] = "view" in rights
        return super().changeform_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def save_model(self, request: HttpRequest, obj: Dataset, form: Any, change: bool) -> None:
        """Leave it to save_related, which knows the columns too."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        dataset: Dataset = form.instance
        if change:
            labels = {row.instance.pk: row.instance.label for formset in formsets for row in formset.forms}
            services.rename_dataset(dataset=dataset, title=dataset.title, labels=labels, by=_person(request))
        else:
            [columns] = formsets
            made = services.create_dataset(
                title=dataset.title, columns=columns.columns(), key=columns.key(), by=_person(request)
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
