"""What one tenant caches is never found in another: whatever the key, the version, and the way it is asked for."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache, caches
from django.core.cache.utils import make_template_fragment_key
from django.template import engines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from core.tenancy import TenantRef, connection, in_public, in_tenant
from datasets.models import Dataset

# Names that look like the parts of a key, and any others.
NAMES = st.one_of(
    st.text(max_size=40),
    st.text(alphabet=":a1t_\n %", max_size=12),
    st.sampled_from(["", ":1:k", "a:", "t_aaaaaaaa:"]),
)
VERSIONS = st.integers(-2, 12)
FUZZED = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


def places(acme: TenantRef, globex: TenantRef) -> list[str]:
    """Return the schemas a key may be made in."""
    return [acme.schema, globex.schema, "public", "t_aaaaaaaa", "t_aaaaaaaaa", "t_aaaaaaaa1"]


@pytest.mark.case("T20")
@FUZZED
@given(data=st.data())
def test_keys_of_two_schemas_are_never_equal(acme: TenantRef, globex: TenantRef, data: st.DataObject) -> None:
    schemas = places(acme, globex)
    one, other = data.draw(st.permutations(schemas))[:2]
    before = connection.tenant
    keys = []
    try:
        for schema in (one, other):
            connection.set_schema(schema)
            keys.append(cache.make_key(data.draw(NAMES), data.draw(VERSIONS)))
    finally:
        connection.set_tenant(before)
    assert keys[0] != keys[1]


@pytest.mark.case("T20")
@FUZZED
@given(name=NAMES, version=st.integers(1, 12), values=st.lists(st.text(max_size=5), min_size=1, max_size=3))
@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
def test_nothing_is_found_that_another_has_cached(
    acme: TenantRef, globex: TenantRef, name: str, version: int, values: list[str]
) -> None:
    cache.clear()
    with in_tenant(acme):
        cache.set(name, values, version=version)
        cache.set_many({f"{name}{value}": value for value in values}, version=version)
        fragment = make_template_fragment_key(name, values)
        cache.set(fragment, "acme's")
        assert cache.get(name, version=version) is not None
    with in_tenant(globex):
        assert cache.get(name, version=version) is None
        assert cache.get_many([f"{name}{value}" for value in values], version=version) == {}
        assert cache.get(fragment) is None
        assert cache.add(name, "globex's", version=version)
        cache.delete(fragment)
        with pytest.raises(ValueError, match="not found"):
            cache.incr(f"{name}-number", version=version)
        with in_public():
            assert cache.get(name, version=version) is None
    with in_tenant(acme):
        assert (cache.get(name, version=version) == "globex's", cache.get(fragment)) == (False, "acme's")


@pytest.mark.case("T20")
def test_a_cached_part_of_a_template_is_shown_to_its_tenant_alone(acme: TenantRef, globex: TenantRef) -> None:
    cache.clear()
    text = "{% load cache %}{% cache 600 people %}{{ whose }}{% endcache %}"
    template = engines["django"].from_string(text)
    shown = []
    for ref in (acme, globex, acme):
        with in_tenant(ref):
            shown.append(template.render({"whose": ref.slug}))
    assert shown == ["acme", "globex", "acme"]


@pytest.mark.case("T20")
def test_content_types_and_rights_are_the_tenants_after_a_thousand_switches(
    acme: TenantRef, globex: TenantRef
) -> None:
    expected = {}
    for ref, more in ((acme, 0), (globex, 5000)):
        with in_tenant(ref), connection.cursor() as cursor:
            cursor.execute("UPDATE auth_permission SET content_type_id = content_type_id + %s", [more])
            cursor.execute(
                "UPDATE guardian_userobjectpermission SET content_type_id = content_type_id + %s", [more]
            )
            cursor.execute(
                "UPDATE guardian_groupobjectpermission SET content_type_id = content_type_id + %s", [more]
            )
            cursor.execute("UPDATE django_content_type SET id = id + %s", [more])
            ContentType.objects.clear_cache()
            cursor.execute(
                "SELECT id FROM django_content_type WHERE app_label = 'datasets' AND model = 'dataset'"
            )
            expected[ref] = cursor.fetchone()[0]
    owners = {}
    for ref in (acme, globex):
        with in_tenant(ref):
            owners[ref] = User.objects.get(email=f"owner@{ref.slug}.example")
    for number in range(1000):
        ref = (acme, globex)[number % 2]
        with in_tenant(ref):
            assert ContentType.objects.get_for_model(Dataset).pk == expected[ref]
            if number % 50 < 2:
                owner = User.objects.get(pk=owners[ref].pk)
                right = Permission.objects.get(content_type=expected[ref], codename="view_dataset")
                assert owner.email == owners[ref].email
                assert (owner.has_perm("datasets.view_dataset"), right.content_type_id) == (
                    True,
                    expected[ref],
                )
    assert expected[acme] != expected[globex]


def test_keys_that_do_not_say_whose_they_are_are_found(
    acme: TenantRef, globex: TenantRef, monkeypatch
) -> None:
    """The detector detects: with Django's own keys the other tenant is answered."""
    # The cache itself: set back through the proxy, the function would be deleted and not restored.
    monkeypatch.setattr(
        caches["default"], "key_func", lambda key, prefix, version: f"{prefix}:{version}:{key}"
    )
    with in_tenant(acme):
        cache.set("people", "acme's")
    with in_tenant(globex):
        assert cache.get("people") == "acme's"
    cache.clear()
