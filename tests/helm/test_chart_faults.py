"""What the semantic checks are for: each planted fault is caught, and named."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import pytest

from tests.helm.engine import OUTSIDE, faults, rendered, values_of, versions
from tests.helm.faults import FAULTS, Fault
from tests.helm.meaning import problems
from tests.helm.objects import Object, name_of


@cache
def _sound(name: str) -> tuple[Object, ...]:
    return tuple(rendered(values_of(name)))


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.says for fault in FAULTS])
def test_a_planted_fault_is_caught_and_named(fault: Fault):
    objects = deepcopy(list(_sound(fault.ci)))
    target = next(each for each in objects if name_of(each) == fault.target)
    fault.change(target)
    found = problems(objects, OUTSIDE)
    assert fault.code in {problem.code for problem in found}
    assert all(problem.where and problem.says for problem in found)


def test_every_check_is_shown_to_catch_something():
    assert len(FAULTS) >= 16
    assert len({fault.code for fault in FAULTS}) >= 25


@pytest.mark.parametrize(
    ("target", "change", "says"),
    [
        (
            "Deployment/rows-web",
            lambda each: each["spec"].update(priorityClassName="high"),
            "priorityClassName",
        ),
        (
            "Ingress/rows",
            lambda each: each["spec"]["rules"][0]["http"]["paths"][0].pop("pathType"),
            "pathType",
        ),
        ("Service/rows-web", lambda each: each["spec"]["ports"][0].update(port="80"), "port"),
        ("ServiceMonitor/rows", lambda each: each["spec"]["endpoints"][0].update(scheme="ftp"), "scheme"),
        ("Certificate/rows", lambda each: each["spec"].pop("issuerRef"), "issuerRef"),
        ("PrometheusRule/rows", lambda each: each["spec"].update(rules=[]), "rules"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_of_the_wrong_form_is_caught_by_the_schemas(target, change, says):
    each = deepcopy(next(each for each in _sound("full") if name_of(each) == target))
    assert faults(each, versions()[-1]) == []
    change(each)
    assert says in " ".join(faults(each, versions()[-1]))
