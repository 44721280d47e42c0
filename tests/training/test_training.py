"""Training of teacher and energy: keyed noise, bands, what is learned, and runs that go on after a kill."""

import copy

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import Dataset

from alps_exp.checkpoints import save_model
from alps_exp.lightning import ImageDataModule
from alps_exp.networks import EDMPrecond, SongUNet
from alps_exp.priors import Denoiser, Energy, load_teacher
from alps_exp.priors.energy import energy_and_gradient
from alps_exp.randomness import step_generator
from alps_exp.training import Budget, BudgetAdam, CosineAdam, EnergyDistillation, LogNormalSigma, TeacherTraining
from alps_exp.training.bands import band_losses, gradient_norm
from alps_exp.training.base import VALIDATION_SIGMAS


class Waves(Dataset):
    """Smooth random images, each a function of its index alone."""

    channels = 1

    def __len__(self):
        return 64

    def __getitem__(self, item):
        index = item[0] if isinstance(item, tuple) else item
        phase, slope = torch.rand(2, generator=torch.Generator().manual_seed(index)) * 6
        grid = torch.linspace(0, 3, 8)
        image = torch.sin(slope * grid[:, None] + grid + phase)[None]
        return {"image": image, "image_id": str(index)}


class StopAt(pl.Callback):
    """Stops a training in its middle."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.global_step == self.step


def fit(module, steps, folder, resume=None, stop_at=None, data=None):
    trainer = pl.Trainer(
        max_steps=steps,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        accelerator="cpu",
        callbacks=[
            pl.callbacks.EMAWeightAveraging(decay=0.9),
            pl.callbacks.ModelCheckpoint(folder, every_n_train_steps=5, save_last=True, save_top_k=0),
            StopAt(stop_at),
        ],
    )
    trainer.fit(module, data or ImageDataModule(train=Waves(), batch_size=8), ckpt_path=resume)
    return module


def teacher_training(network, rate=3e-3):
    return TeacherTraining(network(1, seed=5), CosineAdam(rate, warmup_steps=5), LogNormalSigma(), band_interval=5)


def gap(network, teacher, x, sigma):
    """Return the relative distance between the energy's and the teacher's denoised images."""
    scales = torch.full((len(x),), sigma)
    with torch.no_grad():
        target = x - teacher(x, scales)
    gradient = energy_and_gradient(network, x, scales)[1]
    return float((gradient - target).norm() / target.norm())


def test_teacher_learns_and_distillation_closes_the_gap(network, tmp_path):
    training = teacher_training(network, rate=1.5e-2)
    images = torch.stack([Waves()[i]["image"] for i in range(32)])
    torch.manual_seed(0)
    noisy = images + 0.5 * torch.randn_like(images)
    sigma = torch.full((32,), 0.5)

    def error(denoiser):
        with torch.no_grad():
            return float((denoiser(noisy, sigma) - images).square().mean())

    before = error(training.network)
    fit(training, 60, tmp_path / "teacher")
    assert error(training.network) < 0.5 * before

    save_model(tmp_path / "teacher.safetensors", training.network, "teacher")
    teacher = load_teacher(tmp_path / "teacher.safetensors")
    before = copy.deepcopy(teacher.network)
    untrained = gap(before, teacher.network, noisy, 0.5)
    distillation = EnergyDistillation(teacher, CosineAdam(1e-2, warmup_steps=5), LogNormalSigma())
    fit(distillation, 60, tmp_path / "energy")
    assert gap(distillation.network, teacher.network, noisy, 0.5) < 0.5 * untrained
    moved = zip(before.parameters(), distillation.network.parameters(), strict=True)
    assert all(not torch.equal(old, new) for old, new in moved)
    kept = zip(before.parameters(), teacher.network.parameters(), strict=True)
    assert all(torch.equal(old, new) for old, new in kept)
    assert not any(module.training for module in distillation.network.modules())
    assert not any("teacher" in name for name in distillation.state_dict())


@pytest.fixture
def one_thread():
    """On a busy machine the number of threads, and with it the order of sums, can change from run to run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_resumed_training_equals_an_undisturbed_one(network, tmp_path, one_thread):
    undisturbed = fit(teacher_training(network), 10, tmp_path / "a")
    fit(teacher_training(network), 10, tmp_path / "b", stop_at=5)
    state = torch.load(tmp_path / "b" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 5
    resumed = fit(teacher_training(network), 10, tmp_path / "b", resume=str(tmp_path / "b" / "last.ckpt"))
    for name, value in undisturbed.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_validation_noise_belongs_to_the_image_not_to_its_batch(network):
    training = teacher_training(network)
    x = torch.zeros(3, 1, 4, 4)
    together, _ = training.validation_noise(x, 0.5, ["a", "b", "c"])
    alone, scales = training.validation_noise(x[:1], 0.5, ["b"])
    assert torch.equal(together[1:2], alone) and not torch.equal(together[0], together[1])
    assert scales.tolist() == [0.5]


def test_a_warm_up_of_no_steps_starts_at_the_full_rate():
    made = CosineAdam(1e-3, warmup_steps=0)([torch.nn.Parameter(torch.zeros(1))], lambda step: 0.0)
    assert made["lr_scheduler"]["scheduler"].get_last_lr() == [1e-3]


def test_rates_are_their_closed_forms_over_the_budget():
    cosine, budget = CosineAdam(1e-3, 10), BudgetAdam(1e-3, 10, decay_fraction=0.2)
    assert cosine.factor(0, 0) == 0.1 and cosine.factor(20, 0.5) == pytest.approx(0.5)
    assert [budget.factor(step, 0.0) for step in (0, 4, 9, 10)] == [0.1, 0.5, 1.0, 1.0]
    shares = [0.5, 0.8, 0.85, 0.95, 1.0]  # half of the fall is at a quarter of its length
    assert [budget.factor(100, share) for share in shares] == pytest.approx([1, 1, 0.5, 1 - 0.75**0.5, 0])
    assert budget.factor(0, 1.0) == 0 and BudgetAdam(1e-3, 0, decay_fraction=0).factor(0, 1.0) == 1
    assert BudgetAdam(1e-3, 0, decay_fraction=1).decay(0.25) == pytest.approx(0.5)


def test_a_budget_is_steps_or_time_whichever_ends_first():
    of_both = Budget(100, {"minutes": 10})
    assert of_both.progress(25) == 0.25
    of_both.seconds = 300
    assert of_both.progress(25) == 0.5 and of_both.progress(75) == 0.75 and of_both.progress(200) == 1
    of_time = Budget(-1, "00:00:01:40")
    of_time.seconds = 25
    assert of_time.progress(10**9) == 0.25
    with pytest.raises(ValueError, match="max_steps"):
        Budget(0, "00:00:01:40")


class Rates(pl.Callback):
    """Notes the rate of every step."""

    def __init__(self):
        self.rates = []

    def on_train_batch_start(self, trainer, *_):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_every_step_has_the_rate_of_its_share_of_the_trainers_budget(network, tmp_path):
    rates, steps = Rates(), 10
    training = TeacherTraining(network(1), BudgetAdam(1e-3, 2, decay_fraction=0.4), LogNormalSigma(), band_interval=0)
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)
    pl.Trainer(max_steps=steps, accelerator="cpu", callbacks=[rates, Budget(steps)], **quiet).fit(
        training, ImageDataModule(train=Waves(), batch_size=2)
    )
    fall = [1 - (k / 4) ** 0.5 for k in range(4)]
    assert rates.rates == pytest.approx([5e-4, *[1e-3] * 5, *[1e-3 * f for f in fall]])


def test_noise_is_a_function_of_seed_step_and_rank():
    cpu = torch.device("cpu")
    draws = [
        torch.randn(4, generator=step_generator(*key, cpu)) for key in [(0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0)]
    ]
    assert torch.equal(draws[0], torch.randn(4, generator=step_generator(0, 0, 0, cpu)))
    assert all(not torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])


def test_log_normal_sigma_has_its_moments():
    sigma = LogNormalSigma(-1.2, 1.4)(100_000, torch.Generator().manual_seed(0)).log()
    assert sigma.mean() == pytest.approx(-1.2, abs=0.02) and sigma.std() == pytest.approx(1.4, abs=0.02)


def test_bands_split_the_loss_by_noise_scale():
    losses = band_losses(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([0.01, 0.3, 0.4, 5.0]))
    assert {name: float(value) for name, value in losses.items()} == {
        "sigma<0.05": 1.0,
        "sigma<0.5": 3.0,
        "sigma>=2": 8.0,
    }
    weights = [torch.nn.Parameter(torch.tensor([3.0])), torch.nn.Parameter(torch.tensor([2.0]))]
    assert float(gradient_norm(weights[0].sum() * 3 + weights[1].sum() * 4, weights)) == 5.0


def test_a_published_network_is_trained_without_the_augmentation_labels_of_its_own_training(tmp_path):
    torch.manual_seed(0)
    model = SongUNet(
        img_resolution=16, in_channels=1, out_channels=1, model_channels=16, channel_mult=[1], augment_dim=9
    )
    labels = model.map_augment.weight.clone()
    teacher = Denoiser(EDMPrecond(model))
    module = fit(EnergyDistillation(teacher, CosineAdam(1e-3, 1), LogNormalSigma(), band_interval=1), 2, tmp_path)
    trained, before = module.network.model, teacher.network.model
    assert torch.allclose(trained.map_augment.weight, labels, rtol=1e-6)
    assert not torch.allclose(trained.map_layer0.weight, before.map_layer0.weight, rtol=1e-3)


def test_a_training_needs_a_last_step(network, tmp_path):
    with pytest.raises(ValueError, match="trainer.max_steps.* 1 .*-1"):
        fit(teacher_training(network), -1, tmp_path)


def test_distillation_goes_on_from_an_energy(network):
    teacher, energy = Denoiser(network(1, seed=1)), Energy(network(1, seed=2))
    module = EnergyDistillation(teacher, CosineAdam(), LogNormalSigma(), start=energy)
    for student, start in zip(module.network.parameters(), energy.network.parameters(), strict=True):
        assert torch.equal(student, start) and student is not start
    x, sigma = torch.randn(2, 1, 16, 16), torch.tensor([0.5, 1.0])
    weight = (sigma.square() + teacher.network.sigma_data**2) / (sigma * teacher.network.sigma_data).square()
    distance = energy.denoise(x, sigma) - teacher.denoise(x, sigma)
    expected = weight * distance.square().mean(dim=(1, 2, 3))
    assert torch.allclose(module.loss(x, x, sigma), expected, rtol=1e-4)


def test_a_teacher_goes_on_from_another_and_is_pulled_to_an_energy(network, tmp_path):
    start, energy = Denoiser(network(1, seed=1)), Energy(network(1, seed=2))
    made = (CosineAdam(1e-2, warmup_steps=5), LogNormalSigma())
    torch.manual_seed(0)
    x, sigma = torch.randn(2, 1, 16, 16), torch.tensor([0.5, 1.0])
    plain = TeacherTraining(network(1, seed=3), *made, start=start)
    pulled = TeacherTraining(network(1, seed=3), *made, start=start, energy=energy, energy_weight=3.0)
    weight = (sigma.square() + energy.network.sigma_data**2) / (sigma * energy.network.sigma_data).square()
    distance = (start.denoise(x, sigma) - energy.denoise(x, sigma)).square().mean(dim=(1, 2, 3))
    assert torch.allclose(pulled.loss(x, x, sigma), plain.loss(x, x, sigma) + 3 * weight * distance, rtol=1e-4)

    noisy = torch.stack([Waves()[i]["image"] for i in range(32)]) + 0.5 * torch.randn(32, 1, 8, 8)
    before = gap(energy.network, pulled.network, noisy, 0.5)
    fit(pulled, 40, tmp_path)
    assert gap(energy.network, pulled.network, noisy, 0.5) < 0.8 * before
    assert not any("energy" in name for name in pulled.state_dict())


class LabelledWaves(Waves):
    """Waves with labels of an augmentation."""

    def __getitem__(self, item):
        return super().__getitem__(item) | {"augment": torch.arange(9.0)}


def labeled_network(seed=0, width=9):
    torch.manual_seed(seed)
    model = SongUNet(16, 1, 1, model_channels=8, channel_mult=(1, 2), num_blocks=1, augment_dim=width)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return EDMPrecond(model)


def test_teacher_and_energy_are_asked_with_the_labels_of_the_batch():
    network, other = labeled_network(1), labeled_network(2)
    x, noisy, sigma = torch.randn(2, 1, 16, 16), torch.randn(2, 1, 16, 16), torch.tensor([0.5, 1.0])
    labels = torch.randn(2, 9)
    made = (CosineAdam(), LogNormalSigma())
    plain = TeacherTraining(network, *made)
    d = network(noisy, sigma, augment_labels=labels)
    expected = plain.weight(sigma) * (d - x).square().mean(dim=(1, 2, 3))
    assert torch.allclose(plain.loss(x, noisy, sigma, labels), expected)
    assert not torch.allclose(plain.loss(x, noisy, sigma), expected)

    gradient = energy_and_gradient(lambda x, t: other(x, t, augment_labels=labels), noisy, sigma)[1]
    pull = (d - (noisy - gradient)).square().mean(dim=(1, 2, 3)) * plain.weight(sigma)
    pulled = TeacherTraining(network, *made, energy=Energy(other), energy_weight=2.0)
    assert torch.allclose(pulled.loss(x, noisy, sigma, labels), expected + 2 * pull, rtol=1e-4)

    distillation = EnergyDistillation(Denoiser(network), *made, start=Energy(other))
    assert torch.allclose(distillation.loss(x, noisy, sigma, labels), pull, rtol=1e-4)


def test_what_labels_mean_is_learned_from_the_data(tmp_path):
    network = labeled_network()
    before = network.model.map_augment.weight.clone()
    data = ImageDataModule(train=LabelledWaves(), batch_size=4)
    fit(TeacherTraining(network, CosineAdam(1e-3, 1), LogNormalSigma(), band_interval=1), 2, tmp_path, data=data)
    moved = (network.model.map_augment.weight - before).abs().amax(0)
    assert moved[0] < 1e-6 and moved[1:].min() > 1e-4  # the first of the labels is 0


@pytest.mark.parametrize("width", [0, 5])
def test_labels_that_a_network_does_not_take_are_refused(width, tmp_path):
    data = ImageDataModule(train=LabelledWaves(), batch_size=4)
    training = TeacherTraining(labeled_network(width=width), CosineAdam(1e-3, 1), LogNormalSigma())
    with pytest.raises(ValueError, match=f"9.*labels.* {width}"):
        fit(training, 1, tmp_path, data=data)
    distillation = EnergyDistillation(
        Denoiser(labeled_network(width=width)), CosineAdam(), LogNormalSigma(), start=Energy(labeled_network())
    )
    with pytest.raises(ValueError, match=f"9.*labels.* {width}"):
        fit(distillation, 1, tmp_path, data=data)


def validated(module, data, precision="32-true"):
    """Return the numbers of a validation, by name."""
    made = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu", "inference_mode": False}
    trainer = pl.Trainer(precision=precision, **made)
    found = trainer.validate(module, data, verbose=False)
    return {name: value for one in found for name, value in one.items()}


def test_validation_tells_the_gap_of_each_dataset_by_its_name(network):
    module = EnergyDistillation(Denoiser(network(1)), CosineAdam(), LogNormalSigma(), start=Energy(network(1, seed=2)))
    waves, parts = Waves(), {"few": torch.utils.data.Subset(Waves(), [1, 2, 3]), "one": [Waves()[7]]}
    numbers = validated(module, ImageDataModule(validation=parts, batch_size=2))
    for name, images in (("few", [waves[1], waves[2], waves[3]]), ("one", parts["one"])):
        x, ids = torch.stack([item["image"] for item in images]), [item["image_id"] for item in images]
        ratios = []
        for sigma in VALIDATION_SIGMAS:
            noisy, scales = module.validation_noise(x, sigma, ids)
            ratios.append(gap(module.network, module.teacher, noisy, sigma))
            error = float((module.teacher(noisy, scales) - x).square().mean())
            assert numbers[f"validation/{name}/teacher_sigma_{sigma:g}"] == pytest.approx(error, rel=1e-4)
        expected = np.trapezoid(ratios, np.log(VALIDATION_SIGMAS)) / np.log(200)
        assert numbers[f"validation/{name}/gap"] == pytest.approx(expected, rel=1e-3)
    alone = validated(module, ImageDataModule(validation=parts["one"], batch_size=2))
    assert alone["validation/gap"] == pytest.approx(numbers["validation/one/gap"])


def test_low_precision_trains_with_a_loss_in_float32_and_is_validated_in_float32(network):
    module = EnergyDistillation(Denoiser(network(1)), CosineAdam(), LogNormalSigma(), start=Energy(network(1, seed=2)))
    data = ImageDataModule(validation=[Waves()[7]], batch_size=2)
    assert validated(module, data, "bf16-mixed") == validated(module, data)
    x, sigma = torch.randn(2, 1, 16, 16), torch.tensor([0.5, 1.0])
    full = module.loss(x, x, sigma)
    with torch.autocast("cpu", torch.bfloat16):
        low = module.loss(x, x, sigma)
    assert low.dtype == torch.float32 and not torch.equal(low, full)
    assert torch.allclose(low, full, rtol=0.05)
