"""An engagement mart for a fan platform: audited, daily-partitioned tables in one Delta lake.

What belongs where: a mart table is a pure function of Ibis tables (`marts/`); what a table is and how it is stored,
audited and shown in Dagster is said once (`lake/`); what comes in is a contract (`sources/`); when things run is
`automation/`.
"""
