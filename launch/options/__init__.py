"""What can be asked for on the command line, one frozen dataclass per subcommand, a file per group of them.

Nothing heavy is imported here, so that ``sandlot --help`` and every mistake answer at once.
"""
