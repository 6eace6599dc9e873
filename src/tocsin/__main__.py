"""`python -m tocsin` is `tocsin`."""

from tocsin.cli.main import main

main(prog_name="tocsin")
