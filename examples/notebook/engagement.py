"""A notebook over an exported mart: sessions by platform, artists by engaged time, and the activation funnel.

Open it with `marimo edit examples/notebook/engagement.py` in the folder of `mart.duckdb`, or run it as a plain program.
"""

import marimo

app = marimo.App(width="medium")


@app.cell
def _():
    import duckdb
    import marimo as mo

    # Read-only, so that an export can replace the file while the notebook is open.
    mart = duckdb.connect("mart.duckdb", read_only=True)
    return mart, mo


@app.cell
def _(mart, mo):
    sessions = mart.sql("""
        pivot we_mart.stats_wv_d_platform on coalesce(platform, 'unknown') using sum(sess_cnt)
        group by key_date order by key_date
    """).pl()
    mo.vstack([mo.md("## Sessions by platform"), mo.ui.table(sessions)])
    return (sessions,)


@app.cell
def _(mart, mo):
    artists = mart.sql("""
        select we_art_name, sum(engaged_sec) // 3600 as engaged_hours, sum(member_cnt) as member_days
        from we_mart.stats_wv_d_art_comm_time
        join we_mart.we_artist using (we_art_id)
        group by we_art_name order by engaged_hours desc, we_art_name limit 10
    """).pl()
    mo.vstack([mo.md("## Artists by engaged time"), mo.ui.table(artists)])
    return (artists,)


@app.cell
def _(mart, mo):
    funnel = mart.sql("""
        select step, event_name, within_days, sum(users) as users, round(sum(users) / sum(first_visits), 3) as rate
        from activation.activation_funnel_daily
        group by all order by all
    """).pl()
    mo.vstack([mo.md("## From the first visit to the key events"), mo.ui.table(funnel)])
    return (funnel,)


@app.cell
def _(artists, funnel, sessions):
    for table in (sessions, artists, funnel):
        print(table)
    return


if __name__ == "__main__":
    app.run()
