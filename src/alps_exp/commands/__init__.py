"""One thin file for each verb of the command `alps`."""
