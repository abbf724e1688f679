"""`python -m localazure`."""

from localazure.cli import main

main()
