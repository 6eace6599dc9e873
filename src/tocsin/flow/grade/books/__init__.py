"""What is remembered beside the series' past, each in a book with blobs of its own.

Names a service has used (`known.py`), money spent against budgets (`ledger.py`), what runs are
like (`run_book.py`), what the residual bank has learned (`residual_past.py`). None is made of
another.
"""
