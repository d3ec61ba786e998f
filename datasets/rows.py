"""The model class of a dataset's records: built from its spec, kept in a bounded cache, never registered.

A class is keyed by everything it depends on, so no process has to be told that a definition changed. The
dataset and its columns are read in each request, hence never stale. Tenants with equal specs share a class:
it may hold no data, no queryset and no count.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Self

import django
from django.apps import apps as global_apps
from django.conf import settings
from django.db import DJANGO_VERSION_PICKLE_KEY, models
from django.db.models.base import ModelBase
from simple_history.manager import HistoricalQuerySet, HistoryDescriptor, HistoryManager
from simple_history.models import HistoricalRecords, registered_models

from accounts.models import User
from datasets import ddl
from datasets.columntypes import type_of
from datasets.display import shorten
from datasets.fields import model_field
from datasets.spec import DatasetSpec

if TYPE_CHECKING:
    from datasets.models import Dataset

DEFAULT_CACHE_SIZE = 512  # a class and its history's take about 100 KB


class RowApps:
    """Stands in for the app registry, so that nothing global ever points at a generated class."""

    def register_model(self, app_label: str, model: type[models.Model]) -> None:
        """Register nothing."""

    def get_models(self, *args: Any, **kwargs: Any) -> list[type[models.Model]]:
        """Return no model: nothing relates to a generated class."""
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(global_apps, name)


ROW_APPS = RowApps()


class RowBase(models.Model):
    """What every generated class shares."""

    spec: ClassVar[DatasetSpec]
    objects: ClassVar[models.Manager[Any]]
    history_model: ClassVar[Any]
    history: ClassVar[Any]
    pk: int

    class Meta:
        abstract = True

    def __str__(self) -> str:
        shown = [self.text_of(name) for name in self.spec.key]
        return shorten(" · ".join(filter(None, shown))) or f"record {self.pk}"

    def text_of(self, name: str) -> str:
        """Return the canonical text of a column's value, or an empty text for no value."""
        value = getattr(self, name)
        column = next(column for column in self.spec.columns if column.name == name)
        return "" if value is None else type_of(column).to_text(value)

    def __reduce__(self) -> Any:
        # Stock pickling names the class by app and model, which another process cannot look up.
        return _empty, (self.spec,), self._state_to_keep()

    def __copy__(self) -> Self:
        made = type(self).__new__(type(self))
        made.__setstate__(self._state_to_keep())  # type: ignore[attr-defined] # Model has it
        return made

    def _state_to_keep(self) -> dict[str, Any]:
        return {**self.__getstate__(), DJANGO_VERSION_PICKLE_KEY: django.__version__}


def _empty(spec: DatasetSpec) -> RowBase:
    model = MODELS.get(spec)
    return model.__new__(model)


class RowHistory(HistoricalRecords):
    """The model over `ds_<pk>_history`. Triggers write it; it only reads.

    Never attached by `contribute_to_class`, which leaves receivers and module attributes behind for ever.
    """

    def __init__(self) -> None:
        super().__init__(
            history_id_field=models.BigAutoField(),
            # No foreign key: one in an unregistered class would be missed when a user is deleted.
            history_user_id_field=models.BigIntegerField(null=True),
            history_user_getter=_user_of,
            history_change_reason_field=models.TextField(null=True),
        )

    def get_meta_options(self, model: type[models.Model]) -> dict[str, Any]:
        options: dict[str, Any] = super().get_meta_options(model)
        return options | {
            "apps": ROW_APPS,
            "app_label": model._meta.app_label,
            "db_table": f"{model._meta.db_table}_history",
            "default_permissions": (),
        }

    def copy_fields(self, model: type[models.Model]) -> dict[str, models.Field[Any, Any]]:
        fields: dict[str, models.Field[Any, Any]] = super().copy_fields(model)
        for name, field in fields.items():
            field.db_index = False  # type: ignore[attr-defined] # Field has it
            field.null = name != "id"
        return fields

    def attach(self, model: type[RowBase]) -> Any:
        """Build the history class and hang it on `model` as `history`."""
        self.manager_name, self.module, self.cls = "history", model.__module__, model
        history_model: type[models.Model] = self.create_history_model(model, inherited=False)
        registered_models.pop(model._meta.db_table, None)
        model.history = HistoryDescriptor(history_model, manager=HistoryManager, queryset=HistoricalQuerySet)
        model._meta.simple_history_manager_attribute = "history"  # type: ignore[attr-defined]
        return history_model


def _user_of(version: Any) -> User | None:
    """Return who wrote a version; pages set `cached_user` for all versions at once."""
    if not hasattr(version, "cached_user"):
        version.cached_user = User.objects.filter(pk=version.history_user_id).first()
    user: User | None = version.cached_user
    return user


def build_model(spec: DatasetSpec) -> type[RowBase]:
    """Return a new model class for a spec, with its history class. About 4 ms for ten columns."""
    # Fields sort by the order of their creation, so the primary key is made first.
    fields: dict[str, Any] = {"id": models.BigAutoField(primary_key=True)}
    fields |= {column.name: model_field(column) for column in spec.columns}
    meta = type(
        "Meta",
        (),
        {
            "app_label": "datasets",
            "apps": ROW_APPS,
            "db_table": spec.table,
            "default_permissions": (),
            "verbose_name": "record",
            "verbose_name_plural": spec.title,  # what the pages of a list are headed with
            "constraints": _constraints(spec),
        },
    )
    attributes = {"__module__": __name__, "Meta": meta, "spec": spec, **fields}
    model: type[RowBase] = ModelBase(f"Ds{spec.pk}", (RowBase,), attributes)  # type: ignore[assignment]
    model.history_model = RowHistory().attach(model)
    return model


def _constraints(spec: DatasetSpec) -> list[models.UniqueConstraint]:
    made = []
    if spec.key:
        labels = ", ".join(column.label for column in spec.key_columns)
        made.append(
            models.UniqueConstraint(
                fields=list(spec.key),
                name=ddl.key_constraint(spec),
                violation_error_message=_literal(f"Another record has this key ({labels})."),
            )
        )
    made += [
        models.UniqueConstraint(
            fields=[column.name],
            name=ddl.unique_constraint(spec, column),
            violation_error_message=_literal(f"Another record has this value in “{column.label}”."),
        )
        for column in spec.columns
        if ddl.has_own_unique(spec, column)
    ]
    return made


def _literal(message: str) -> str:
    return message.replace("%", "%%")  # Django interpolates the message; a label may hold a percent sign


class ModelCache:
    """The classes used last, at most `size` of them; an evicted one dies with its last record."""

    def __init__(self, size: int, build: Callable[[DatasetSpec], type[RowBase]] = build_model) -> None:
        self.size = size
        self._build = build
        self._models: OrderedDict[DatasetSpec, type[RowBase]] = OrderedDict()
        self._lock = RLock()

    def __len__(self) -> int:
        return len(self._models)

    def get(self, spec: DatasetSpec) -> type[RowBase]:
        """Return the class of a spec, built if it is not here."""
        with self._lock:
            model = self._models.pop(spec, None) or self._build(spec)
            self._models[spec] = model
            while len(self._models) > self.size:
                self._models.popitem(last=False)
            return model

    def clear(self) -> None:
        """Forget every class."""
        with self._lock:
            self._models.clear()


MODELS = ModelCache(getattr(settings, "ROW_MODEL_CACHE_SIZE", DEFAULT_CACHE_SIZE))


def get_row_model(dataset: Dataset) -> type[RowBase]:
    """Return the model class of a dataset's records. One query, for its columns."""
    return MODELS.get(dataset.spec())
