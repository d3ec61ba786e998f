"""The tenant's people, for those who may manage them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import User
from accounts.sites import tenant_site
from audit.services import record
from core.lookups import ListedLookups
from core.readonly import ReadOnly


class NewUserForm(UserCreationForm):
    class Meta:
        model = User
        fields = ("email", "groups")


class ChangedUserForm(UserChangeForm):
    class Meta:
        model = User
        fields = ("email", "first_name", "last_name", "is_active", "groups")


@admin.register(User, site=tenant_site)
class UserAdmin(ListedLookups, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg] # not generic when it runs
    """Users and their groups. Flags that reach beyond the tenant's rights are no fields of these forms."""

    form = ChangedUserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "full_name", "roles", "is_active", "last_login")
    list_filter = ("groups", "is_active")
    search_fields = ("email", "first_name", "last_name")
    ordering = ("email",)
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Person", {"fields": ("first_name", "last_name")}),
        ("Access", {"fields": ("is_active", "groups")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "groups", "usable_password", "password1", "password2")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "-"

    @admin.display(description="roles")
    def roles(self, user: User) -> str:
        return ", ".join(sorted(group.name for group in user.groups.all())) or "none"

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        super().save_model(request, obj, form, change)
        name = "accounts.user.changed" if change else "accounts.user.created"
        record(name, actor=request.user, target=obj, fields=sorted(form.changed_data))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # history names people for ever; a user who left is set inactive


@admin.register(Group, site=tenant_site)
class GroupAdmin(ReadOnly, ModelAdmin):
    """The tenant's roles, to read: what a role may do is the product's."""

    list_display = ("name", "members")
    search_fields = ("name",)
    fields = ("name", "permissions")
    readonly_fields = ("name", "permissions")

    @admin.display(description="members")
    def members(self, group: Group) -> int:
        return User.objects.filter(groups=group).count()
