"""`python -m alpaqual` is the command `alpaqual`."""

from alpaqual.cli.main import main

main()
