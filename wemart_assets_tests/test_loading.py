"""What each command imports. Commands start quickly because they import little, so imported modules are tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from wemart_assets import catalog
from wemart_assets.lake.errors import DeclarationError

HEAVY = {"dagster", "ibis", "pandas", "pandera", "pyspark"}


def imported(code: str, environment: dict[str, str] | None = None) -> set[str]:
    """The modules that a separate process has imported after running the code."""
    script = f"import sys\n{code}\nprint('MODULES', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.rpartition("MODULES ")[2].split())


def marts_in(modules: set[str]) -> set[str]:
    """The domains that have an imported module which declares tables."""
    names = {m.removeprefix("wemart_assets.marts.") for m in modules if m.startswith("wemart_assets.marts.")}
    return {name.split(".")[0] for name in names if "." in name}


def query(lake: Path, sql: str) -> set[str]:
    code = f"from wemart_assets.cli import main\nmain(['sql', {sql!r}], standalone_mode=False)"
    return imported(code, {"WEMART_LAKE": str(lake)})


def test_a_query_without_tables_imports_no_heavy_library_and_no_mart(world: Path) -> None:
    modules = query(world / "lake", "select 1")
    assert modules & HEAVY == set()
    assert marts_in(modules) == set()


def test_a_query_of_a_table_imports_no_other_domain(world: Path) -> None:
    modules = query(world / "lake", "select count(*) from we_mart.wv_comm_user_base")
    assert modules & (HEAVY - {"ibis"}) == set()
    assert marts_in(modules) == {"community"}


def test_help_imports_no_heavy_library() -> None:
    code = "from wemart_assets.cli import main\nmain(['simulate', '--help'], standalone_mode=False)"
    assert imported(code) & (HEAVY | {"duckdb", "pyarrow"}) == set()


def test_the_definitions_import_neither_pandera_nor_spark_nor_what_draws_charts() -> None:
    unwanted = {"altair", "pandas", "pandera", "pyspark", "vl_convert"}
    assert imported("import wemart_assets.definitions") & unwanted == set()


def test_heavy_imports_are_detected() -> None:
    modules = imported("import wemart_assets.lake.pandera_backends\nimport wemart_assets.marts.rudder.rules")
    assert {"pandera", "ibis"} <= modules
    assert marts_in(modules) == {"rudder"}


def test_a_mart_in_a_file_with_another_name_is_refused() -> None:
    module = ModuleType("wemart_assets.marts.sessions.wv_user_daily")
    declared = catalog.marts()["we_mart.wv_user_daily"]
    module.wv_user_daily = declared  # type: ignore[attr-defined]
    assert set(catalog.declarations(module)) == {"we_mart.wv_user_daily"}
    module.__name__ = "wemart_assets.marts.sessions.users"
    declared.function.__module__, before = module.__name__, declared.function.__module__
    try:
        with pytest.raises(DeclarationError, match=r"rename the file to wv_user_daily\.py"):
            catalog.declarations(module)
    finally:
        declared.function.__module__ = before
