"""The detectors of windows, one module each; `registry.py` names them."""
