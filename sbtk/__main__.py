"""``python -m sbtk`` is the ``sbtk`` command."""

from sbtk.cli.app import main

main()
