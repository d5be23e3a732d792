"""Column lineage, read off the expression itself: which input columns a column is made of."""

from __future__ import annotations

from collections.abc import Mapping

import ibis.expr.operations as ops
import ibis.expr.types as ir

ColumnLineage = Mapping[str, frozenset[tuple[str, str]]]


def column_lineage(rows: ir.Table, inputs: Mapping[ops.Node, str]) -> ColumnLineage:
    """For each column of `rows` the (input name, input column) pairs whose values can become part of it.

    Columns that only decide which rows there are (filters, join keys, orderings) do not count.
    """
    known: dict[tuple[ops.Node, str], frozenset[tuple[str, str]]] = {}

    def trace(relation: ops.Node, name: str) -> frozenset[tuple[str, str]]:
        at = (relation, name)
        if at not in known:
            known[at] = frozenset()
            known[at] = _origins(relation, name)
        return known[at]

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
        # The keys and the order of a window only decide which rows it looks at.
        parts = [value.func] if isinstance(value, ops.WindowFunction) else value.__children__
        found: frozenset[tuple[str, str]] = frozenset()
        for part in parts:
            if isinstance(part, ops.Value):
                found |= _of_value(part)
        return found

    return {name: trace(rows.op(), name) for name in rows.columns}
