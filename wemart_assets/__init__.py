"""An engagement mart for a fan platform: audited, daily-partitioned tables in one Delta lake.

- `marts/`: each mart table is a pure function of Ibis tables.
- `lake/`: what a table is, and how it is stored, audited and shown in Dagster.
- `setting_values/`: types of settings that are more than a number or a text.
- `sources/`: contracts of the upstream tables, and how landing files are read.
- `automation/`: jobs, schedules and sensors.
"""
