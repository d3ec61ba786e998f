"""How an app says that a model of its own can be imported into: a proxy of ImportJob.

::

    class StockImport(ImportJob):
        class Meta:
            proxy = True
            target_model = StockRecord
            serializer_class = StockRecordSerializer
            key_fields = ("sku",)
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models.base import ModelBase

OWN = ("target_model", "serializer_class", "key_fields")
# Each target, "app.model" in lower case as Django labels it, with its proxy.
PROXIES: dict[str, Any] = {}


class ImportJobBase(ModelBase):
    """Takes our words out of a proxy's Meta, which Django would refuse, and keeps them on the class."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any], **kwargs: Any) -> Any:
        meta = attrs.get("Meta")
        said = {word: vars(meta)[word] for word in OWN if meta is not None and word in vars(meta)}
        if said:
            kept = {word: value for word, value in vars(meta).items() if word not in OWN and word[:2] != "__"}
            attrs = {**attrs, "Meta": type("Meta", (), kept)}
        made = super().__new__(cls, name, bases, attrs, **kwargs)
        if said:
            _keep(made, said)
        return made


def title_of(target: str) -> str:
    """Return what people call the records of a target; its label where no installed app has it."""
    proxy = PROXIES.get(target)
    return str(proxy.target_model._meta.verbose_name_plural) if proxy is not None else target


def _keep(proxy: Any, said: dict[str, Any]) -> None:
    if not proxy._meta.proxy or "target_model" not in said or "serializer_class" not in said:
        raise ImproperlyConfigured(
            f"{proxy.__name__}.Meta needs proxy = True, a target_model and a serializer_class."
        )
    for word in OWN:
        setattr(proxy, word, said.get(word))
    PROXIES[proxy.target_model._meta.label_lower] = proxy
