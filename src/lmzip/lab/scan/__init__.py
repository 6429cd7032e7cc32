"""`lmzip scan`: scaling laws over data, model size, context and compute.

runs.py    the runs, each kept in a file of its own
task.py    in-context tasks, put to a predictor on the side
fit.py     power laws fitted, with their errors
laws.py    what the runs of a scan say together
charts.py  drawn
"""
