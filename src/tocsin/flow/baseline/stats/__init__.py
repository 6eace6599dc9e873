"""How strong a departure from the expected is: statistics of arrays, with no series and no past.

Tails of counts (`tails.py`), rates of failure (`rates.py`), ratios of sums (`ratios.py`), shares
of a whole (`shares.py`), e-values of a distribution (`e_values.py`), money (`budgets.py`).
"""
