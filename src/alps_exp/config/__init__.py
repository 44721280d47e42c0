"""From YAML to a checked request: where configs are, what their keys may be, and which targets they may name."""
