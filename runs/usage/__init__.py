"""What was used: counted in the ingest's transaction, rolled up by day, proved by a recount of the rows.

counting.py   what counts, and what a batch adds
recount.py    the same from rows alone
rollup.py     deltas → days
tags.py       deltas → days by tag
sealing.py    a bucket's days, proved and closed
api_calls.py  calls of the API, counted in memory
storage.py    what is kept, measured once a day
seats.py      people, the most of each day
meters.py     all meters: names, how days make a month
shown.py      where a month's usage went
forecasts.py  where the open month leads
exports.py    the same as CSV
"""
