"""An operator, a sampler, images and an experiment in a package of the user's own, with nothing changed in ours."""

import json
import sys
import textwrap

import pytest

OPERATOR = """
    from torch import Tensor

    from alps_exp.operators import LinearOperator


    class Grayscale(LinearOperator):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(-3, keepdim=True)

        def adjoint(self, y: Tensor) -> Tensor:
            return y.repeat(*(1,) * (y.ndim - 3), 3, 1, 1) / 3

        def measurement_shape(self, shape):
            return (*shape[:-3], 1, *shape[-2:])
"""
SAMPLER = """
    from alps_exp.samplers import AnnealedSampler, GeometricSchedule


    class PlugAndPlay(AnnealedSampler):
        def __init__(self, steps: int = 10) -> None:
            super().__init__(GeometricSchedule(steps=steps), "energy", None)

        def step(self, problem, x, t, s):
            clean = problem.operator.posterior_mean(problem.prior.denoise(x, t), problem.y, t)
            return clean + s * problem.draw()
"""
IMAGES = """
    import torch


    class Ramps:
        channels = 3

        def __init__(self, count: int, size: int = 16) -> None:
            self.image_ids = self.index = [f"ramp{i}" for i in range(count)]
            self.size = size

        def __len__(self) -> int:
            return len(self.image_ids)

        def __getitem__(self, index):
            ramp = torch.linspace(-1, 1, self.size) / (index + 1)
            return {"image": ramp.expand(3, self.size, self.size), "image_id": self.image_ids[index]}
"""
PRIOR = """
    from pathlib import Path

    from alps_exp.priors import smooth_gaussian


    def load_hers(weights):
        return smooth_gaussian(size=16, channels=3, std=float(Path(weights).read_text()))
"""
CONFIGS = {
    "data/ramps.yaml": """
        _target_: alps_exp.lightning.ImageDataModule
        test:
          _target_: her.images.Ramps
          count: 2
    """,
    "operator/grayscale.yaml": "_target_: her.operator.Grayscale\n_partial_: true\nnoise_std: 0.05\n",
    "sampler/plug_and_play.yaml": "_target_: her.sampler.PlugAndPlay\nsteps: 4\n",
    "energy/hers.yaml": "_target_: her.prior.load_hers\nweights: ???\n",
    "experiment/hers.yaml": """
        # @package _global_
        defaults:
          - override /operator: grayscale
          - override /sampler: plug_and_play
          - override /data: ramps

        num_samples: 2
    """,
}


@pytest.fixture
def her(tmp_path, monkeypatch):
    """Make the package `her` importable, and return the folder of its configs."""
    files = {
        "__init__.py": "",
        "operator.py": OPERATOR,
        "prior.py": PRIOR,
        "sampler.py": SAMPLER,
        "images.py": IMAGES,
        "conf/__init__.py": "",
    }
    for name, text in (files | {f"conf/{name}": text for name, text in CONFIGS.items()}).items():
        path = tmp_path / "site" / "her" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path / "site" / "her" / "conf"
    for name in [name for name in sys.modules if name.partition(".")[0] == "her"]:
        del sys.modules[name]


@pytest.mark.parametrize("found_by", ["searchpath", "folder"])
def test_they_are_chosen_as_ours_are(alps, her, tmp_path, models, found_by):
    where = ["hydra.searchpath=[pkg://her.conf]"] if found_by == "searchpath" else ["--config-dir", str(her)]
    common = [*models, "logger=none", f"output_root={tmp_path / 'out'}"]
    status, out, err = alps("restore", *where, "experiment=hers", *common)
    assert status == 0, out + err
    (records,) = (tmp_path / "out").rglob("records.jsonl")
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    assert {line["image_id"] for line in lines} == {"ramp0", "ramp1"}
    first = lines[0]
    assert (first["operator"], first["sampler"], first["num_samples"]) == ("grayscale", "plug_and_play", 2)
    assert first["status"] == "ok" and first["nfe_forward"] == 4
    status, _, err = alps("restore", *where, "operator=grayscal", *models, "logger=none")
    assert status == 2 and "did you mean grayscale?" in err


def test_the_weights_of_an_own_prior_are_those_of_the_run(alps, her, tmp_path):
    weights = tmp_path / "weights.txt"
    request = ["restore", "--config-dir", str(her), "experiment=hers", "energy=hers", f"energy.weights={weights}"]
    request += ["logger=none", f"output_root={tmp_path / 'out'}"]
    weights.write_text("0.2")
    status, out, err = alps(*request)
    assert status == 0, out + err
    (provenance,) = (tmp_path / "out").rglob("provenance.json")
    assert str(weights) in provenance.read_text()
    weights.write_text("0.3")
    status, _, err = alps(*request)
    assert status == 2 and "energy.weights" in err
