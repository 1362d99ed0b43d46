"""`python -m opsbook`."""

from opsbook.cli.main import main

main()
