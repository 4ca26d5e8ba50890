"""The table in docs/faults.md: each row names a test."""

import ast

from support.pipelines import ROOT


def test_each_row_of_the_table_has_its_test():
    table = (ROOT / "docs" / "faults.md").read_text(encoding="utf8")
    rows = [line for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    rows = [row for row in rows if not row.startswith("| fault |")]
    assert len(rows) > 40
    seen = set()
    for row in rows:
        *_, fault_test, _ = row.split("|")
        assert len(row.split("|")) == 6, row
        path, _, name = fault_test.strip().strip("`").partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in names, f"{path} has no test {name}"
        assert (path, name) not in seen, f"{path}::{name} has two rows"
        seen.add((path, name))
