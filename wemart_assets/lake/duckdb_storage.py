"""Gives a DuckDB access to object stores: by its httpfs extension for S3, through obstore for the others."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from wemart_assets.lake.duckdb_sql import literal, quoted
from wemart_assets.lake.errors import StoreUnavailable, WemartError
from wemart_assets.lake.location import Location
from wemart_assets.lake.store_faults import StoreFault, explained


def reach(connection: duckdb.DuckDBPyConnection, locations: Sequence[Location], offline: bool) -> None:
    """Makes the object stores among the locations accessible.

    Raises:
        StoreUnavailable: there is no key, or DuckDB does not take the settings.
        WemartError: an extension is neither installed nor may it be downloaded.
    """
    for number, location in enumerate(location for location in locations if not location.is_local):
        scheme = location.url.partition(":")[0]
        if scheme == "s3":
            _load(connection, "httpfs", offline)
            secret = _secret(location)
            if secret.get("provider") == "credential_chain":
                _load(connection, "aws", offline)
            values = {**secret, "scope": location.url}
            given = ", ".join(f"{quoted(name)} {literal(value)}" for name, value in values.items())
            try:
                connection.execute(f"create secret place_{number} ({given})")
            except duckdb.Error:
                # The statement has the key in it, so neither it nor an error that quotes it may be shown.
                fault = StoreFault.NO_KEYS if "provider" in secret else StoreFault.OPTION
                raise StoreUnavailable(f"{explained(fault, '', location.url)}.") from None
        elif scheme not in connection.list_filesystems():
            reach_through_obstore(connection, location)


def reach_through_obstore(connection: duckdb.DuckDBPyConnection, location: Location) -> None:
    """Makes an object store of any kind accessible without an extension; slower than with one."""
    from obstore.fsspec import FsspecStore

    open_store: Any = FsspecStore
    connection.register_filesystem(open_store(location.url.partition(":")[0], **location.obstore_options))


def _secret(location: Location) -> dict[str, str]:
    """The parameters of DuckDB's secret for an S3 store."""
    options = location.storage.plain
    secret = {"type": "s3"}
    if "aws_region" in options:
        secret["region"] = options["aws_region"]
    if endpoint := options.get("aws_endpoint_url"):
        secret |= {"endpoint": endpoint.partition("://")[2], "url_style": "path"}
        secret["use_ssl"] = str(endpoint.startswith("https:")).lower()
    if "aws_access_key_id" in options:
        secret["key_id"] = options["aws_access_key_id"]
        secret["secret"] = options.get("aws_secret_access_key", "")
    if "aws_session_token" in options:
        secret["session_token"] = options["aws_session_token"]
    return secret if "key_id" in secret else secret | {"provider": "credential_chain"}


def _load(connection: duckdb.DuckDBPyConnection, extension: str, offline: bool) -> None:
    """Loads an extension from its wheel, or else as DuckDB installs it."""
    try:
        package = importlib.import_module(f"duckdb_extension_{extension}")
        name = f"extensions/v{duckdb.__version__}/{extension}.duckdb_extension"
        file = Path(str(package.__file__)).parent / name
    except ModuleNotFoundError:
        file = None
    if file is not None and file.exists():
        connection.execute(f"load {literal(str(file))}")
        return
    advice = f"pip install 'wemart-assets[s3]' brings DuckDB's extension {extension} for version {duckdb.__version__}"
    if offline:
        raise WemartError(f"an object store is used, and with WEMART_OFFLINE nothing is downloaded. {advice}.")
    try:
        connection.execute(f"install {extension}")
        connection.execute(f"load {extension}")
    except duckdb.Error as error:
        raise WemartError(f"DuckDB cannot install its extension {extension}: {error}. {advice}.") from error
