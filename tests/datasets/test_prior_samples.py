"""Images drawn from a prior: keyed one by one, and distributed as it says."""

import pytest
import torch

from alps_exp.datasets import PriorSamples, image_shape
from alps_exp.priors import Energy, smooth_gaussian, two_mode_mixture


def test_an_image_follows_from_seed_and_index_alone():
    prior = two_mode_mixture(size=4)
    few, many = PriorSamples(prior, 2, seed=3), PriorSamples(prior, 50, seed=3)
    assert len(few) == 2 and few.image_ids == many.image_ids[:2] == ["prior0000", "prior0001"]
    assert torch.equal(few[1]["image"], many[1]["image"]) and few[1]["image_id"] == "prior0001"
    assert not torch.equal(few[0]["image"], few[1]["image"])
    other = PriorSamples(prior, 2, seed=4)
    assert not torch.equal(few[1]["image"], other[1]["image"]) and few.index != other.index
    with pytest.raises(IndexError):
        few[2]


@pytest.mark.parametrize("complex_valued", [False, True])
def test_images_have_the_covariance_of_the_prior(complex_valued):
    prior = smooth_gaussian(size=3, channels=2, complex_valued=complex_valued)
    data = PriorSamples(prior, 4000)
    images = torch.stack([data[i]["image"] for i in range(len(data))])
    assert image_shape({"image": images}) == (2, 3, 3)
    assert data.channels == prior.channels and images.dtype == prior.mean.dtype
    vectors = images.flatten(1)
    covariance = vectors.mT @ vectors.conj() / len(data) / (2 if complex_valued else 1)
    assert (covariance - prior.covariance).abs().max() < 0.08 * prior.covariance.abs().max()


def test_what_cannot_be_drawn_is_refused(network):
    with pytest.raises(ValueError, match="closed form.* Energy"):
        PriorSamples(Energy(network(3)))
    with pytest.raises(ValueError, match="count.* 1.* 0"):
        PriorSamples(smooth_gaussian(size=3), 0)
