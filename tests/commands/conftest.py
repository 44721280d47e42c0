"""Small random models that requests name."""

import pytest

from alps_exp.priors import save_model


@pytest.fixture
def models(tmp_path, network):
    """Return the request for small random models."""
    for kind in ("teacher", "energy"):
        save_model(tmp_path / f"small-{kind}.safetensors", network(3), kind)
    names = [f"{kind}.name={tmp_path / f'small-{kind}.safetensors'}" for kind in ("teacher", "energy")]
    return ["teacher=file", "energy=file", *names]
