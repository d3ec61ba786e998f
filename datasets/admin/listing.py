"""The list of records: what the address asks for, filters as chips, columns, order and paging.

Everything works by plain links and forms: an address says what is shown, a form that changes it is answered by a
redirect to the new address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin, checkbox
from unfold.decorators import display
from unfold.views import ChangeList

from core.clock import now
from datasets.admin.links import view_export_url
from datasets.admin.saved_views import Bar, SavedViews
from datasets.admin.speed import Speed
from datasets.columntypes import type_of
from datasets.columntypes.multi_choice import parts_of
from datasets.display import LIST_CHARACTERS, readable, shorten, target_of
from datasets.filtering import asked, ordering, searched
from datasets.keyset import Order, page_beside, place_of, read_place
from datasets.liststate import (
    NO_VALUE,
    OPERATORS,
    PAGE_SIZES,
    PERIODS,
    Condition,
    ListState,
    UnknownParameter,
    from_form,
    is_listed,
    operators_of,
    read_state,
)
from datasets.rows import RowBase
from datasets.spec import ColumnSpec

if TYPE_CHECKING:
    from django.forms import Media

    from datasets.admin.records import RowsAdmin
    from datasets.admin.references import Visible
    from datasets.models import Dataset

LIST_COLUMNS = 20  # where nobody chose any
MOST_COLUMNS = 100
UNBROKEN = ("integer", "decimal", "date", "time", "timestamp", "uuid", "phone", "json")
JSON_CHARACTERS = 60
CHIP = "inline-block whitespace-nowrap rounded-default bg-base-100 dark:bg-base-800 px-1.5 py-0.5"
LINKED = "text-primary-600 dark:text-primary-500 hover:underline"
# Of the admin's own, or of this page alone: no part of what a list shows.
_PASSING = (
    "after",
    "before",
    PAGE_VAR,
    "_filter",
    "_set",
    "_cols",
    "col",
    "e",
    "all",
    "o",
    "_facets",
    "_left",
)
KEPT = ("v", "_popup", "_to_field", "_source_model")
_FIELD = "f_"


@dataclass(frozen=True, slots=True)
class Chip:
    """A condition as a chip: its words, where it is changed and where it is gone."""

    label: str
    words: str
    problem: str
    change_url: str
    remove_url: str


@dataclass(frozen=True, slots=True)
class FilterForm:
    """The form of one column's filter, filled in with what the address says."""

    column: ColumnSpec
    operators: tuple[str, ...]
    values: dict[str, tuple[str, ...]]

    @property
    def kind(self) -> str:
        """How a bound is typed: the type of its input."""
        return "date" if self.column.value_type == "date" else "text"

    @property
    def hint(self) -> str:
        hints = {"timestamp": "2026-12-31 or 2026-12-31 14:00", "date": "2026-12-31", "time": "14:00"}
        return hints.get(self.column.value_type, "")

    @property
    def ticks(self) -> str:
        """The operator whose values are ticked: any of several choices, or the one there is."""
        return "any" if "any" in self.operators else "is"

    @property
    def all_of(self) -> list[tuple[str, bool]]:
        """Return the choices that may all be asked for at once, and whether ticked."""
        ticked = self.values.get("all", ())
        return (
            [(one, one in ticked) for one in self.column.options.choices] if "all" in self.operators else []
        )

    @property
    def choices(self) -> list[tuple[str, str, bool]]:
        """Return value, words and whether ticked, for a column whose values are ticked."""
        if not is_listed(self.column) or self.ticks not in self.operators:
            return []
        offered = [(choice, choice) for choice in self.column.options.choices]
        if self.column.type == "boolean":
            offered = [("true", "Yes"), ("false", "No")]
        if not self.column.is_required and self.ticks == "is":
            offered.append(("", NO_VALUE.strip("()").capitalize()))
        ticked = self.values.get(self.ticks, ())
        return [(value, words, value in ticked) for value, words in offered]

    @property
    def periods(self) -> list[tuple[str, str, bool]]:
        if "when" not in self.operators:
            return []
        chosen = self.values.get("when", ())
        return [(name, name.replace("-", " ").capitalize(), name in chosen) for name in PERIODS]

    @property
    def lines(self) -> str | None:
        """Return the values of `is`, one to a line; None where they are ticked or cannot be asked for."""
        if is_listed(self.column) or "is" not in self.operators:
            return None
        return "\n".join(self.values.get("is", ()))

    def first(self, operator: str) -> str:
        return next(iter(self.values.get(operator, ())), "")

    @property
    def low(self) -> str | None:
        return self.first("from") if "from" in self.operators else None

    @property
    def high(self) -> str | None:
        return self.first("to") if "to" in self.operators else None

    @property
    def contains(self) -> str | None:
        return self.first("contains") if "contains" in self.operators else None

    @property
    def starts(self) -> str | None:
        return self.first("starts") if "starts" in self.operators else None

    @property
    def empty(self) -> str | None:
        has_box = is_listed(self.column) and self.ticks == "is"
        return self.first("empty") if "empty" in self.operators and not has_box else None


class RecordsChangeList(ChangeList):
    """A list of what the address asks for, with the columns, the chips and the links around it."""

    model_admin: RowsAdmin
    state: ListState
    page_num: int

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.state = self.model_admin.state(request)
        for name in _PASSING:
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        self.query = self.state.search
        self.bar: Bar = self.model_admin.bar(request, self.state)
        self.offers = self.model_admin.offers(request, self.state)
        self.is_left_out = bool(self.state.ignored) or "_left" in request.GET
        self.filter_specs: list[Any] = []
        self.has_active_filters = self.has_filters = bool(self.state.conditions)
        self.clear_all_filters_qs = self.address(replace(self.state, conditions=(), search=""))
        at = now()
        records = self.root_queryset
        for condition in self.state.conditions:
            records = records.filter(asked(condition, now=at))
        records = self.model_admin.get_search_results(request, records, self.query)[0]
        return records.order_by(*ordering(self.state.sort)).only(*self._read())

    def _read(self) -> list[str]:
        spec = self.model_admin.spec
        sorted_by = [name for name, _ in self.state.sort]
        return list(dict.fromkeys(["id", *spec.key, *self.names, *sorted_by]))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The physical names of the shown columns, in order."""
        return tuple(column.name for column in self.model_admin.listed_columns(self.state))

    # ---- paging

    def get_results(self, request: HttpRequest) -> None:
        size = self.list_per_page = self.state.page_size
        self.paginator = self.model_admin.get_paginator(request, self.queryset, size)
        self.result_count = self.full_result_count = self.paginator.count
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all, self.multi_page = False, self.result_count > size
        self.page_num = min(max(self.page_num, 1), 1_000_000)
        by_name = {column.name: column for column in self.model_admin.columns}
        self.order = Order(tuple((by_name[name], downwards) for name, downwards in self.state.sort))
        self.result_list, has_before, has_after = self._page(request, size)
        first = place_of(self.result_list[0], self.order) if has_before and self.result_list else ""
        last = place_of(self.result_list[-1], self.order) if has_after and self.result_list else ""
        self.previous_url = self._beside("before", first, self.page_num - 1) if first else ""
        self.next_url = self._beside("after", last, self.page_num + 1) if last else ""

    def _page(self, request: HttpRequest, size: int) -> tuple[list[Any], bool, bool]:
        """Return the records of the page, and whether there are some before and after them."""
        for name, is_back in (("after", False), ("before", True)):
            token = request.GET.get(name, "")
            place = read_place(token, self.order, self.root_queryset) if token else None
            if place is None:
                continue
            found = page_beside(self.queryset, self.order, place, size + 1, is_back=is_back)
            if not is_back:
                return found[:size], True, len(found) > size
            if len(found) > size:
                return found[1:], True, True
            break  # what was before has become less than a page: the first page it is
        else:
            self.page_num = min(self.page_num, self.paginator.num_pages)
            if self.page_num > 1:
                start = (self.page_num - 1) * size
                found = list(self.queryset[start : start + size + 1])
                return found[:size], True, len(found) > size
        self.page_num = 1
        found = list(self.queryset[: size + 1])
        return found[:size], False, len(found) > size

    def _beside(self, way: str, place: str, number: int) -> str:
        return self.get_query_string({way: place, PAGE_VAR: max(number, 1)})

    @property
    def page_links(self) -> list[tuple[int | str, str, bool]]:
        """Return the numbers below the list: number, address, whether it is this page."""
        if not self.multi_page:
            return []
        pages = self.paginator.num_pages
        near = {1, 2, pages, *range(self.page_num - 2, self.page_num + 3)}
        made: list[tuple[int | str, str, bool]] = []
        before = 0
        for number in sorted(one for one in near if 1 <= one <= pages or one == self.page_num):
            if number > before + 1:
                made.append(("…", "", False))
            made.append((number, self.get_query_string({PAGE_VAR: number}), number == self.page_num))
            before = number
        return made

    # ---- order: by names, which mean the same to people who see other columns

    def get_query_string(
        self, new_params: dict[str, Any] | None = None, remove: list[str] | None = None
    ) -> str:
        given = dict(new_params or {})
        if ORDER_VAR in given:
            given["sort"] = self._sort_of(str(given.pop(ORDER_VAR) or "")) or None
        return super().get_query_string(given, remove)  # type: ignore[no-any-return]

    def _sort_of(self, positions: str) -> str:
        parts = []
        for part in filter(None, positions.split(".")):
            shown = self.list_display[int(part.removeprefix("-"))]
            parts.append(("-" if part.startswith("-") else "") + str(shown.admin_order_field))
        return ".".join(parts)

    def get_ordering_field_columns(self) -> dict[int, str]:
        positions = {
            getattr(shown, "admin_order_field", None): position
            for position, shown in enumerate(self.list_display)
        }
        return {
            positions[name]: "desc" if is_downwards else "asc"
            for name, is_downwards in self.state.sort
            if name in positions
        }

    # ---- what stands above the list

    def address(self, state: ListState, **more: str) -> str:
        return "?" + urlencode([*state.pairs(), *self.kept, *more.items()])

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What the address says besides what the list shows, and has to go on saying."""
        return [(name, self.params[name]) for name in self.model_admin.kept if name in self.params]

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """What a form has to carry on."""
        return [*self.state.pairs(), *self.kept]

    @property
    def chips(self) -> list[Chip]:
        return [self._chip(condition) for condition in self.state.conditions]

    def _chip(self, condition: Condition) -> Chip:
        label = condition.column.label if condition.column else "A column that is not here"
        remove = self.address(self.state.without(condition.parameter))
        change = self.address(self.state, _filter=condition.name) if condition.column else remove
        return Chip(shorten(label, 60), condition.words(), condition.problem, change, remove)

    @property
    def hidden_sorts(self) -> list[tuple[str, str, str]]:
        """The sorts no header shows: label, direction and the address without it."""
        labels = {column.name: column.label for column in self.model_admin.columns}
        return [
            (
                labels[name],
                "downwards" if is_downwards else "upwards",
                self.address(
                    replace(self.state, sort=tuple(one for one in self.state.sort if one[0] != name))
                ),
            )
            for name, is_downwards in self.state.sort
            if name not in self.names
        ]

    @property
    def filterable(self) -> list[ColumnSpec]:
        return [column for column in self.model_admin.columns if operators_of(column)]

    @cached_property
    def filter_form(self) -> FilterForm | None:
        """The form that is open, if one is."""
        wanted = self.model_admin.opened
        column = next((one for one in self.filterable if one.name == wanted), None)
        if column is None:
            return None
        values = {one.operator: one.values for one in self.state.conditions if one.name == column.name}
        return FilterForm(column, operators_of(column), values)

    @property
    def close_url(self) -> str:
        return self.address(self.state)

    @property
    def column_boxes(self) -> list[tuple[ColumnSpec, bool, int]]:
        """Every column with whether it is shown and its place, the shown ones first."""
        columns = {column.name: column for column in self.model_admin.columns}
        ordered = [*self.names, *(name for name in columns if name not in self.names)]
        return [(columns[name], name in self.names, place) for place, name in enumerate(ordered, start=1)]

    @property
    def own_columns_url(self) -> str:
        return self.address(replace(self.state, columns=()))

    @property
    def sizes(self) -> list[tuple[int, bool]]:
        return [(size, size == self.state.page_size) for size in PAGE_SIZES]

    @property
    def export_url(self) -> str:
        """Where this very list is exported; empty without the right."""
        admin = self.model_admin
        return view_export_url(admin.dataset, admin.rights, urlencode(self.state.pairs()))


class Listing(SavedViews, Speed):
    """The part of a RowsAdmin that lists."""

    dataset: Dataset
    spec: Any
    columns: tuple[ColumnSpec, ...]
    visible: Visible  # the datasets this person may view
    opened = ""  # the column whose filter form is open
    kept: tuple[str, ...] = KEPT  # parameters that every address of the list carries on
    list_filter: ClassVar[tuple[Any, ...]] = ()
    # Unfold's templates ask for it at every row, and a template that finds no attribute lists all there are.
    list_sections: ClassVar[tuple[Any, ...]] = ()
    _state: ListState | None = None
    _shown: list[Any] | None = None

    class Media:
        css: ClassVar = {"all": ("datasets/list.css",)}
        js: ClassVar = ("datasets/list.js",)

    if TYPE_CHECKING:
        media: Media

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RecordsChangeList

    @cached_property
    def _checkbox(self) -> str:
        # Once for all rows: the widget is a template of its own.
        widget = str(checkbox.render(ACTION_CHECKBOX_NAME, "@record@"))
        return widget.replace("{", "{{").replace("}", "}}").replace("@record@", "{}")

    @display(description=ModelAdmin.action_checkbox.short_description)
    def action_checkbox(self, obj: Model) -> str:
        return format_html(self._checkbox, obj.pk)

    def state(self, request: HttpRequest) -> ListState:
        """Return what the address asks for.

        :raises DisallowedModelAdminLookup: it names a parameter that no list knows.
        """
        if self._state is None:
            self.opened = request.GET.get("_filter", "")
            self._state = self.state_of(request.GET)
        return self._state

    def state_of(self, query: QueryDict) -> ListState:
        passing = {*_PASSING, *self.kept}
        asked_for = [(name, values) for name, values in query.lists() if name not in passing]
        try:
            return read_state([(name, values) for name, values in asked_for if values], self.columns)
        except UnknownParameter as error:
            raise DisallowedModelAdminLookup(f"Filtering by {error} not allowed") from error

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        # Once: the admin asks again for what may be sorted, and compares.
        if self._shown is None:
            # The first column is a link to its record, and none of its own.
            self._shown = [
                _cell(column, may_link=at > 0, records=self.links_to(column))
                for at, column in enumerate(self.listed_columns(self.state(request)))
            ]
        return self._shown

    def links_to(self, column: ColumnSpec) -> str:
        """Return where the records are that a reference names, "" if it is none or this person may not view them."""
        target = column.options.target
        if target is None or target.dataset not in self.visible:
            return ""
        return reverse("admin:datasets_row_by_key", args=(target.dataset,))

    def listed_columns(self, state: ListState | None = None) -> list[ColumnSpec]:
        """Return the columns a list shows: the chosen ones, or the key's first and no more than a page can hold.

        Without `state` it is the list this request has asked for.
        """
        state = state or self._state or ListState()
        by_name = {column.name: column for column in self.columns}
        if state.columns:
            return [by_name[name] for name in state.columns[:MOST_COLUMNS]]
        ordered = sorted(self.columns, key=lambda column: column.name not in self.spec.key)
        return ordered[:LIST_COLUMNS]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return [column.name for column in self.columns]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return searched(queryset, search_term, self.columns), False

    # ---- forms that change the address

    def detour(self, request: HttpRequest) -> HttpResponse | None:
        """Return the redirect to the address a form of the list stands for, if it is one's."""
        if request.method != "GET":
            return None
        if "_set" in request.GET:
            return self._with_filter(request)
        if "_cols" in request.GET:
            return self._with_columns(request)
        return self.view_detour(request)

    def _rest(self, query: QueryDict) -> tuple[ListState, list[tuple[str, str]]]:
        """Return the list a form was sent from, and what else its address keeps."""
        rest = query.copy()
        for name in list(rest):
            if name.startswith((_FIELD, "at_")):
                del rest[name]
        return self.state_of(rest), [(name, query.get(name, "")) for name in self.kept if name in query]

    def _with_filter(self, request: HttpRequest) -> HttpResponse:
        name = request.GET["_set"]
        state, kept = self._rest(request.GET)
        column = next((one for one in self.columns if one.name == name), None)
        pairs = [pair for pair in state.pairs() if not pair[0].startswith(f"{name}__")]
        made: Sequence[tuple[str, list[str]]] = ()
        if column is not None:
            fields = {operator: request.GET.getlist(_FIELD + operator) for operator in OPERATORS}
            made = from_form(column, fields)
        added = [(parameter, value) for parameter, values in made for value in values]
        return HttpResponseRedirect("?" + urlencode([*added, *pairs, *kept]))

    def _with_columns(self, request: HttpRequest) -> HttpResponse:
        state, kept = self._rest(request.GET)
        known = {column.name for column in self.columns}
        chosen = [name for name in request.GET.getlist("col") if name in known]
        chosen.sort(key=lambda name: _place(request.GET.get(f"at_{name}", "")))
        state = replace(state, columns=tuple(dict.fromkeys(chosen)))
        return HttpResponseRedirect("?" + urlencode([*state.pairs(), *kept]))


def _place(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 100_000


def _cell(column: ColumnSpec, *, may_link: bool, records: str = "") -> Callable[[RowBase], Any]:
    """Return the list's column: a callable with the attributes the admin reads.

    :param records: where a reference leads by its key.
    """

    def show(record: RowBase) -> Any:
        value = getattr(record, column.name)
        if value is None or column.type == "boolean":
            return value
        canonical = type_of(column).to_text(value)
        if column.type == "multi_choice":
            chips = ((CHIP, one) for one in parts_of(canonical))
            return format_html_join(" ", '<span class="{}">{}</span>', chips)
        is_json = column.type == "json"
        text = shorten(readable(canonical, column), JSON_CHARACTERS if is_json else LIST_CHARACTERS)
        if records:
            return format_html(
                '<a href="{}?{}" class="{}">{}</a>', records, urlencode({"key": canonical}), LINKED, text
            )
        if may_link and (target := target_of(canonical, column)):
            # What a tenant's people put into a cell learns neither where it was clicked nor gets hold of the page.
            return format_html(
                '<a href="{}" target="_blank" rel="noopener noreferrer nofollow" class="{}">{}</a>',
                target,
                LINKED,
                text,
            )
        if column.value_type in UNBROKEN:
            return format_html('<span class="whitespace-nowrap">{}</span>', text)
        return text

    show.__name__ = column.name
    show.short_description = column.label  # type: ignore[attr-defined]
    show.admin_order_field = column.name  # type: ignore[attr-defined]
    show.boolean = column.type == "boolean"  # type: ignore[attr-defined]
    return show
