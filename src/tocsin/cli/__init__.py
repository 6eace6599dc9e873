"""The command line: a module for each command, named as the command, and what it prints.

`main.py` holds the group and the error sentences. `*_report.py`, `replay_chart.py`,
`explain_alert.py` and `score_csv.py` are the parts of one command that its tests call directly.
"""
