"""`python -m phantomdb.cli` is the `phantomdb` command."""
from phantomdb.cli import main

main()
