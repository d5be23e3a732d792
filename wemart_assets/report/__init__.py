"""The report: one HTML page with the charts and numbers of the mart's latest days, and the state of its data.

`sections` declares what is shown, each with the query of its numbers; `quality` what the audits found; `charts` how
they are drawn; `page` puts them into one file that needs no network. `command` and `asset` write it.
"""
