"""The ``octavo`` command: one thin file per command."""


def main() -> None:
    """Run the command line."""
    from octavo.cli.app import run

    run()
