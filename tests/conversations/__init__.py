"""Two thousand conversations made from real rows, each with what must become of it; and what checks a run of them.

`making` makes them, `tools` has the tools that they call, `faults` damages some; `checking` states in plain Python what a run
must show. `python tests/conversations/end_to_end.py FOLDER` makes, runs and checks all of it, with a model that it trains.
"""
