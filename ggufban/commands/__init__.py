"""The command line: options -> calls -> rendering. The only room that imports click."""
