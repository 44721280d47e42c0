"""Network architectures and the preconditioning that turns them into denoisers."""

from alps_exp.networks.adm_unet import ADMUNet
from alps_exp.networks.dhariwal_unet import DhariwalUNet
from alps_exp.networks.edm2_unet import EDM2UNet
from alps_exp.networks.preconditioning import (
    DiscretePrecond,
    EDMPrecond,
    Preconditioned,
    ScoreVEPrecond,
    ScoreVPPrecond,
    VEPrecond,
    VPPrecond,
    iDDPMPrecond,
)
from alps_exp.networks.song_unet import SongUNet

__all__ = [
    "ADMUNet",
    "DhariwalUNet",
    "DiscretePrecond",
    "EDM2UNet",
    "EDMPrecond",
    "Preconditioned",
    "ScoreVEPrecond",
    "ScoreVPPrecond",
    "SongUNet",
    "VEPrecond",
    "VPPrecond",
    "iDDPMPrecond",
]
