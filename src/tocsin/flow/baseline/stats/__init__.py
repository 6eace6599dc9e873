"""Statistical tests and estimates on plain arrays; no state.

Tails of counts (`tails.py`), failure rates (`rates.py`), ratios of sums (`ratios.py`), shares of a
whole (`shares.py`), log-bucket sketches (`sketch.py`) and e-values of their means
(`e_values.py`), budgets of money (`budgets.py`).
"""
