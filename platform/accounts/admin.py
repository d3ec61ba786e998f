"""The tenant's people, for those who may manage them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import User
from accounts.sessions import end_sessions, keep_session
from accounts.single_sign_on import pages as pages  # registers what is on them
from accounts.sites import tenant_site
from audit.services import record
from core.lookups import ListedLookups
from core.quotas import QuotaReached, Resource, require_room
from core.readonly import ReadOnly

OWNER = "owner"


class GroupsOfTheGranter(ModelForm):  # type: ignore[type-arg] # not generic when it runs
    """A form in which nobody gives, or takes, a role with more than he holds himself."""

    granter: User | None = None

    def clean_groups(self) -> Any:
        wanted = set(self.cleaned_data["groups"])
        had = set(self.instance.groups.all()) if self.instance.pk else set()
        for group in sorted(wanted ^ had, key=str):
            if self.granter is not None and not self.granter.has_perms(_permissions(group)):
                raise ValidationError(
                    f"You cannot give or take “{group}”: it may do more than you may. Ask an owner."
                )
        return self.cleaned_data["groups"]


def _permissions(group: Group) -> list[str]:
    names = group.permissions.values_list("content_type__app_label", "codename")
    return [f"{app_label}.{codename}" for app_label, codename in names]


def _told(user: User, groups: Iterable[Group]) -> dict[str, Any]:
    told: dict[str, Any] = {
        name: getattr(user, name) for name in ("email", "first_name", "last_name", "is_active")
    }
    return told | {"roles": sorted(group.name for group in groups)}


def _require_room() -> None:
    try:
        require_room(Resource.USERS)
    except QuotaReached as error:
        raise ValidationError(error.message) from None


class NewUserForm(GroupsOfTheGranter, UserCreationForm):
    class Meta:
        model = User
        fields = ("email", "groups")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        _require_room()
        return cleaned


class ChangedUserForm(GroupsOfTheGranter, UserChangeForm):
    class Meta:
        model = User
        fields = ("email", "first_name", "last_name", "is_active", "groups")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "groups" not in cleaned or "is_active" not in cleaned:
            return cleaned
        was_active = User.objects.filter(pk=self.instance.pk, is_active=True).exists()
        if cleaned["is_active"] and not was_active:
            _require_room()
        stays = cleaned["is_active"] and any(group.name == OWNER for group in cleaned["groups"])
        # Held until the end: of two owners who leave at once the second finds himself the last.
        list(Group.objects.select_for_update().filter(name=OWNER))
        others = User.objects.filter(groups__name=OWNER, is_active=True, entry_ends_at=None).exclude(
            pk=self.instance.pk
        )
        was_owner = self.instance.groups.filter(name=OWNER).exists()
        if was_owner and was_active and not stays and not others.exists():
            raise ValidationError(
                "This is the last active owner; without one nobody could grant anything here. "
                "Make somebody else an owner first."
            )
        return cleaned


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
    actions_detail = ("how_they_sign_in",)
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Person", {"fields": ("first_name", "last_name")}),
        ("Access", {"fields": ("is_active", "groups")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "groups", "usable_password", "password1", "password2")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        # The class is made for this request.
        form.granter = request.user  # type: ignore[attr-defined] # see GroupsOfTheGranter
        return form

    @admin.display(description="name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "-"

    @admin.display(description="roles")
    def roles(self, user: User) -> str:
        return ", ".join(sorted(group.name for group in user.groups.all())) or "none"

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        held = User.objects.filter(pk=obj.pk).first() if change else None
        before = _told(held, held.groups.all()) if held else None
        super().save_model(request, obj, form, change)
        name = "accounts.user.changed" if change else "accounts.user.created"
        groups = form.cleaned_data.get("groups") or ()
        record(name, actor=request.user, target=obj, before=before, after=_told(obj, groups))

    @action(
        description="How they sign in", icon="passkey", permissions=["change"], url_path="how-they-sign-in"
    )
    def how_they_sign_in(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        return redirect("admin:accounts_user_sign_in", user.pk)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        user = self.get_object(request, id)
        if user is not None and not request.user.has_perms(user.get_all_permissions()):
            raise PermissionDenied("Who may do more than you chooses the password without you.")
        with transaction.atomic():
            answer = super().user_change_password(request, id, form_url)
            if user is not None and self._has_new_password(user):
                record("accounts.user.password_set", actor=request.user, target=user)
                end_sessions(user=user, by=request.user)
                if user.pk == request.user.pk:
                    keep_session(request, user)
        return answer

    def _has_new_password(self, user: User) -> bool:
        before = user.password
        user.refresh_from_db(fields=["password"])
        return user.password != before

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
