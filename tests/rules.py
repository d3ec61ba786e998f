"""The house rules a machine can see, each a function from a syntax tree to the nodes that break it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.source import calls

SLOW_MODULES = frozenset({"polars", "boto3", "botocore", "openpyxl", "python_calamine"})
SLOW_OF_OURS = frozenset({"core.s3", "core.s3http"})


@dataclass(frozen=True, slots=True)
class Rule:
    """`reason` is what a person reads when it is broken; `planted` is code that breaks it, `allowed` does not."""

    find: Callable[[ast.Module], Iterator[ast.AST]]
    reason: str
    planted: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    only_in: tuple[str, ...] = ()  # the files whose subject it is


def _names(node: ast.AST) -> Iterator[str]:
    """Yield the last part of every name a node stands for or imports."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.name.rpartition(".")[2] for alias in node.names)


def uses(*names: str) -> Callable[[ast.Module], Iterator[ast.AST]]:
    """Return a finder of any use of these names."""
    return lambda tree: (node for node in ast.walk(tree) if set(names) & set(_names(node)))


def _with_a_tenant(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                target = item.context_expr
                if isinstance(target, ast.Name | ast.Attribute) and "tenant" in next(_names(target)):
                    yield target


def _switching(tree: ast.Module) -> Iterator[ast.AST]:
    wanted = ("set_schema", "set_schema_to_public", "set_tenant")
    return (call for name, call in calls(tree) if name.rpartition(".")[2] in wanted)


def _yielding_inside(tree: ast.Module) -> Iterator[ast.AST]:
    """A generator that yields inside a tenant leaves it bound in whoever reads it."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if any(
            "contextmanager" in ast.unparse(each) or "fixture" in ast.unparse(each)
            for each in function.decorator_list
        ):
            continue
        for block in ast.walk(function):
            if isinstance(block, ast.With) and any("in_tenant(" in ast.unparse(item) for item in block.items):
                yield from (node for node in ast.walk(block) if isinstance(node, ast.Yield | ast.YieldFrom))


def _only_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _slow_at_the_top(tree: ast.Module) -> Iterator[ast.AST]:
    for node in tree.body:
        if _only_types(node):
            continue
        if isinstance(node, ast.Import) and any(
            alias.name.split(".")[0] in SLOW_MODULES for alias in node.names
        ):
            yield node
        if isinstance(node, ast.ImportFrom) and (
            (node.module or "").split(".")[0] in SLOW_MODULES or node.module in SLOW_OF_OURS
        ):
            yield node


def _external_datasets(tree: ast.Module) -> Iterator[ast.AST]:
    theirs = {"load_dataset", "load_from_disk", "DatasetDict", "IterableDataset"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "datasets" and theirs & set(_names(node)):
            yield node


RULES = {
    "with-tenant": Rule(
        _with_a_tenant,
        "`with tenant:` keeps its way back in a list all threads share; use core.tenancy.in_tenant().",
        ("with tenant:\n    pass", "with self.tenant:\n    pass"),
        ("with in_tenant(tenant):\n    pass",),
    ),
    "other-doors": Rule(
        uses("schema_context", "tenant_context"),
        "One door into a tenant: core.tenancy.in_tenant().",
        ("from django_tenants.utils import schema_context", "@tenant_context(acme)\ndef work(): ..."),
        ("with in_tenant(ref):\n    pass",),
    ),
    "switching": Rule(
        _switching,
        "Only core.tenancy moves the connection between schemas.",
        (
            "connection.set_schema('t_1')",
            "connections[alias].set_tenant(tenant)",
            "connection.set_schema_to_public()",
        ),
        ("cursor.execute('SELECT 1')",),
        only_in=("platform/core/",),
    ),
    "limit-set-calls": Rule(
        uses("TENANT_LIMIT_SET_CALLS"),
        "TENANT_LIMIT_SET_CALLS leaves the former tenant's path on the connection.",
        ("TENANT_LIMIT_SET_CALLS = True",),
    ),
    "yield-in-tenant": Rule(
        _yielding_inside,
        "A generator yields inside a tenant: whoever reads it stays in there.",
        ("def rows():\n    with in_tenant(ref):\n        yield 1",),
        ("@contextmanager\ndef door():\n    with in_tenant(ref):\n        yield",),
    ),
    "mark-safe": Rule(
        uses("mark_safe", "SafeString", "SafeText"),
        "Data may hide in it; use format_html().",
        ("mark_safe(label)", "from django.utils.safestring import mark_safe"),
        ("format_html('<b>{}</b>', label)",),
    ),
    "slow-import": Rule(
        _slow_at_the_top,
        "It costs every command its start; import it in the function that needs it, with `# slow import`.",
        ("import polars as pl", "from boto3.session import Session", "from core.s3 import S3Store"),
        ("if TYPE_CHECKING:\n    import polars as pl", "def read():\n    import polars as pl"),
        only_in=("platform/core/s3.py", "platform/core/s3http.py"),  # slow themselves: imported as boto3 is
    ),
    "datasets-package": Rule(
        _external_datasets,
        "`datasets` is our app; the package of that name on the index is never used.",
        ("from datasets import load_dataset",),
        ("from datasets.models import Dataset",),
    ),
}
