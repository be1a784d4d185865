"""`python -m dropscribe.cli`."""

from dropscribe.cli import main

main(prog_name="dropscribe")
