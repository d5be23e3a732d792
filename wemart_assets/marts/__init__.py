"""The mart tables. One folder a domain (its Dagster group), one file a table; rules that several share are modules."""
