"""The command `alps`: the entry point, and one file for each verb."""
