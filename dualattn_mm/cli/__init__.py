"""The command `dualattn`. Each subcommand is a thin module, listed in `main.COMMANDS`."""
