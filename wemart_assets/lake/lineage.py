"""Column lineage, derived from the Ibis expression: the input columns from which each column is computed."""

from __future__ import annotations

from collections.abc import Mapping

import ibis.expr.operations as ops
import ibis.expr.types as ir

ColumnLineage = Mapping[str, frozenset[tuple[str, str]]]


def column_lineage(rows: ir.Table, inputs: Mapping[ops.Node, str]) -> ColumnLineage:
    """Returns, for each column of `rows`, the (input name, input column) pairs whose values flow into it.

    Columns that only decide which rows are kept (filters, join keys, orderings) do not count.
    """
    traced: dict[tuple[ops.Node, str], frozenset[tuple[str, str]]] = {}

    def trace(relation: ops.Node, name: str) -> frozenset[tuple[str, str]]:
        key = (relation, name)
        if key not in traced:
            traced[key] = frozenset()
            traced[key] = _origins(relation, name)
        return traced[key]

    def _origins(relation: ops.Node, name: str) -> frozenset[tuple[str, str]]:
        if relation in inputs:
            return frozenset({(inputs[relation], name)})
        if isinstance(relation, ops.Set):
            return trace(relation.left, name) | trace(relation.right, name)
        if isinstance(relation, (ops.JoinReference, ops.SelfReference)):
            return trace(relation.parent, name)
        values = getattr(relation, "values", None)
        if values is None or name not in values:
            return frozenset()
        return _of_value(values[name])

    def _of_value(value: ops.Node) -> frozenset[tuple[str, str]]:
        if isinstance(value, ops.Field):
            return trace(value.rel, value.name)
        if isinstance(value, ops.ScalarSubquery):
            return trace(value.rel, next(iter(value.rel.schema)))
        # The keys and the order of a window only decide which rows it covers.
        parts = [value.func] if isinstance(value, ops.WindowFunction) else value.__children__
        origins: frozenset[tuple[str, str]] = frozenset()
        for part in parts:
            if isinstance(part, ops.Value):
                origins |= _of_value(part)
        return origins

    return {name: trace(rows.op(), name) for name in rows.columns}
