"""What a row of a stock file must be: a serializer of Django REST framework, as an API of the app would have it."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from rest_framework import serializers


class StockRecordSerializer(serializers.Serializer[Any]):
    """The fields a file may fill, and how a record is written."""

    sku = serializers.CharField(label="article", max_length=40)
    place = serializers.CharField(max_length=40)
    quantity = serializers.IntegerField(min_value=0)
    price = serializers.DecimalField(
        max_digits=10, decimal_places=2, min_value=0, allow_null=True, required=False
    )
    counted_on = serializers.DateField(allow_null=True, required=False)

    def create(self, validated_data: dict[str, Any]) -> Any:
        return apps.get_model("stock", "StockRecord")._default_manager.create(**validated_data)

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        for name, value in validated_data.items():
            setattr(instance, name, value)
        instance.save(update_fields=list(validated_data))
        return instance
