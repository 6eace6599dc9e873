"""Every command of `tocsin` and what it prints."""
