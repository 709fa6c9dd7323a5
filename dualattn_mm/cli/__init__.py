"""The command `dualattn`: a thin module per subcommand, listed in `main.COMMANDS`."""
