"""An energy whose network is not that of its density, so that its Jacobian matters."""

from alps_exp.priors.base import EnergyPrior, as_scales
from alps_exp.priors.energy import energy_and_gradient


class SmoothEnergy(EnergyPrior):
    """E(x, t) = 1/2 ||x - psi||^2 with psi = tanh(x) / (1 + t^2)."""

    channels = 1

    def psi(self, x, t):
        """Return psi of images (N, C, H, W) and scales (N,)."""
        return x.tanh() / (1 + t[:, None, None, None] ** 2)

    def energy_and_gradient(self, x, t):
        images = x.reshape(-1, *x.shape[-3:])
        energy, gradient = energy_and_gradient(self.psi, images, as_scales(t, x))
        return energy.reshape(x.shape[:-3]), gradient.reshape(x.shape)

    def energy(self, x, t):
        return self.energy_and_gradient(x, t)[0]

    def denoise_with_vjp(self, x, t):
        raise NotImplementedError
