"""What a callback of a sampler is told at every step."""

import numpy as np
import pytest
import torch
from gaussian_posterior import measurement, operator_named, random_prior

from alps_exp.operators import Inpainting
from alps_exp.priors import smooth_gaussian
from alps_exp.report import convergence_figure
from alps_exp.samplers import (
    ALPS,
    DAPS,
    DPS,
    MALA,
    MAP,
    SMC,
    ULA,
    DiffPIR,
    ExplicitSchedule,
    GeometricSchedule,
    KarrasSchedule,
    REDDiff,
    Trajectory,
)
from alps_exp.samplers.batched_prior import BatchedPrior

SCALES = GeometricSchedule(sigma_max=2.0, sigma_min=0.1, steps=6)
SAMPLERS = {
    "alps": ALPS(SCALES),
    "static": ALPS(SCALES, annealing="static"),
    "published": ALPS(SCALES, "reference", "static"),
    "matched": ALPS(SCALES, moment_matching=2),
    "daps": DAPS(SCALES, langevin_steps=0, prior_kind="energy"),
    "dps": DPS(SCALES, prior_kind="energy"),
    "diffpir": DiffPIR(SCALES, prior_kind="energy"),
    "red_diff": REDDiff(SCALES, prior_kind="energy"),
}


def two_images():
    """Return prior, operator and a measurement of two images."""
    operator = Inpainting((torch.arange(64) % 3 > 0).float().reshape(1, 1, 8, 8), noise_std=0.1)
    torch.manual_seed(0)
    return smooth_gaussian(size=8), operator, operator.measure(torch.randn(2, 1, 8, 8), torch.randn(2, 1, 8, 8))


@pytest.mark.parametrize("name", SAMPLERS)
def test_there_is_a_state_at_every_scale_and_the_last_has_the_samples(name):
    states = []
    estimates = SAMPLERS[name](*two_images(), num_samples=3, callbacks=[states.append])
    assert [state.scale for state in states] == SCALES()
    assert all(state.x.shape == state.d.shape == (3, 2, 1, 8, 8) for state in states)
    assert torch.equal(states[-1].x, estimates.samples)
    assert len({state.x.sum().item() for state in states}) == len(states)  # none is overwritten by a later one


def test_the_denoised_images_are_those_that_the_step_is_based_on():
    prior, operator, y = two_images()
    states = []
    DiffPIR(SCALES, prior_kind="energy")(prior, operator, y, num_samples=2, callbacks=[states.append])
    for before, after in zip(states, states[1:], strict=False):
        assert torch.allclose(after.d, prior.denoise(before.x, after.scale))


def test_the_misfit_is_that_of_the_chains():
    prior, operator, y = two_images()
    states = []
    ALPS(SCALES)(prior, operator, y, num_samples=2, callbacks=[states.append])
    residual = (operator.mask * (states[2].x - y)).square().sum((-3, -2, -1))
    assert torch.allclose(states[2].misfit, residual / (2 * 0.1**2))


@pytest.mark.parametrize("sampler", [ALPS(SCALES), MAP(SCALES, starts=2), SMC(SCALES)], ids=["alps", "map", "smc"])
def test_samples_and_calls_are_the_same_with_and_without_callbacks(sampler):
    alone = sampler(*two_images(), num_samples=3)
    watched = sampler(*two_images(), num_samples=3, callbacks=[Trajectory(), lambda state: state.misfit])
    assert torch.equal(alone.samples, watched.samples)
    assert torch.equal(alone.nfe_forward, watched.nfe_forward) and torch.equal(alone.nfe_vjp, watched.nfe_vjp)


def test_map_reports_the_chains_that_start_it_and_then_every_iteration():
    trajectory = Trajectory()
    estimates = MAP(SCALES, starts=2, max_iterations=4, tolerance=1e-9)(*two_images(), callbacks=[trajectory])
    assert trajectory.scales == [*SCALES(), *[0.1] * 5]
    assert sorted(trajectory.d) == list(range(6))  # an iteration follows the gradient of the energy
    assert torch.equal(trajectory.x[10], estimates.samples)


def test_a_trajectory_keeps_the_images_of_every_kth_step_and_all_numbers():
    prior, operator = random_prior(torch.float64), operator_named("inpainting")[0]
    y = measurement(operator, prior)
    trajectory, none = Trajectory(every=4), Trajectory(every=0)
    estimates = ALPS(SCALES)(prior, operator, y, num_samples=5, image_ids=["one"], callbacks=[trajectory, none])
    assert sorted(trajectory.x) == sorted(trajectory.d) == [0, 4] and none.x == none.d == {}
    rows = trajectory.rows()
    assert [row["scale"] for row in rows] == SCALES() and {row["image_id"] for row in rows} == {"one"}
    last = operator.misfit(estimates.samples, y) / (operator.measured_count(y) / 2)
    assert np.isclose(rows[-1]["misfit"], last.mean().item())


def test_a_trajectory_refuses_other_images():
    trajectory = Trajectory()
    prior, operator, y = two_images()
    ALPS(SCALES)(prior, operator, y, image_ids=["a", "b"], callbacks=[trajectory])
    with pytest.raises(ValueError, match="a.*b.*c"):
        ALPS(SCALES)(prior, operator, y, image_ids=["a", "c"], callbacks=[trajectory])
    with pytest.raises(ValueError, match="-1"):
        Trajectory(every=-1)


def test_repeated_scales_are_states_of_their_own():
    states = []
    schedule = ExplicitSchedule((1.0, 0.5), (2, 3))
    ALPS(schedule)(*two_images(), callbacks=[states.append])
    assert [state.scale for state in states] == [1.0, 1.0, 0.5, 0.5, 0.5]


def test_convergence_is_drawn_from_a_trajectory(tmp_path):
    trajectory = Trajectory(every=0)
    ALPS(SCALES)(*two_images(), num_samples=4, callbacks=[trajectory])
    path = convergence_figure(trajectory.rows(), tmp_path / "convergence.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="without steps"):
        convergence_figure([], tmp_path / "none.png")


def test_steps_of_a_chain_are_those_that_are_kept():
    trajectory = Trajectory(every=5)
    estimates = ALPS(SCALES)(*two_images(), num_samples=3, callbacks=[trajectory])
    steps = trajectory.steps(image=1, sample=2)
    assert [(step["step"], step["scale"]) for step in steps] == [(0, trajectory.scales[0]), (5, trajectory.scales[5])]
    for step, k in zip(steps, (0, 5), strict=True):
        assert step["misfit"] == trajectory.misfits[k][2, 1].item()
        torch.testing.assert_close(torch.as_tensor(step["x"]), trajectory.x[k][2, 1])
        torch.testing.assert_close(torch.as_tensor(step["d"]), trajectory.d[k][2, 1])
    torch.testing.assert_close(torch.as_tensor(steps[-1]["x"]), estimates.samples[2, 1])


def test_energies_of_chains_are_those_of_each_alone():
    prior, _, _ = two_images()
    x = torch.randn(3, 2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    together = BatchedPrior(prior, 4).energy(x, 0.5)
    alone = torch.stack([torch.cat([prior.energy(x[s, b][None], 0.5) for b in range(2)]) for s in range(3)])
    assert torch.allclose(together, alone) and together.shape == (3, 2)


def test_the_number_of_steps_is_that_of_the_bar():
    for sampler in (
        *SAMPLERS.values(),
        ULA(SCALES),
        MALA(SCALES),
        SMC(SCALES),
        DPS(KarrasSchedule(2.0, 0.1, 7), prior_kind="energy"),
    ):
        states = []
        sampler(*two_images(), num_samples=2, callbacks=[states.append])
        assert len(states) == sampler.num_steps
