"""Files that are no weights of the network asked for: status 2, and one line on what was found and what helps."""

import gzip
import io
import os
import pickle
import re
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from alps_exp.checkpoints import save_model
from alps_exp.networks import ADMUNet, EDMPrecond, SongUNet

SMALL = ["data.test.size=16", "logger=none", "figures=false", "trainer.accelerator=cpu"]
OWN = "teacher.architecture=own.safetensors"
ADM = {"img_resolution": 16, "model_channels": 32, "channel_mult": [1, 2], "num_blocks": 1, "attention_levels": [1]}
ADM_SIDE = "+teacher.architecture.model.img_resolution=16"


class Attack:
    """Would create a file where it is unpickled by Python's own means."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def archive(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def tar(content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        member = tarfile.TarInfo("weights.pth")
        member.size = len(content)
        file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def picture(format):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, format)
    return buffer.getvalue()


def hdf5():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["dense/kernel"] = np.zeros((3, 3), "f4")
    return buffer.getvalue()


def npz():
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    return buffer.getvalue()


def npy():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def torch_script():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


def optimizer():
    network = torch.nn.Linear(2, 2)
    adam = torch.optim.Adam(network.parameters())
    network(torch.zeros(1, 2)).sum().backward()
    adam.step()
    return adam.state_dict()


def safetensors(state):
    return save({name: value.contiguous() for name, value in state.items()})


def changed(state, name, value):
    return saved({**state, name: value})


def renamed(state, old, new):
    return saved({name.replace(old, new): value for name, value in state.items()})


def adm(**changes):
    torch.manual_seed(0)
    return ADMUNet(**ADM | changes).state_dict()


def prefixed(prefix, names, shape=(3, 3)):
    return saved({f"{prefix}{name}": torch.zeros(shape) for name in names})


BYTES = {
    "an empty file": (b"", "an empty file", "copy it again"),
    "a web page": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page", "download the file itself"),
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 375000000\n",
        "pointer of Git LFS",
        "git lfs pull",
    ),
    "gzip": (gzip.compress(b"weights"), "gzip archive", "unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(64), "packed archive", "unpack it"),
    "tar": (tar(b"weights"), "tar archive", "unpack it"),
    "zip": (archive(model__pth=b"weights"), r"zip archive of model\.pth", "unpack it"),
    "npz": (npz(), r"NumPy archive of weight\.npy", "torch.save"),
    "npy": (npy(), "NumPy array", "torch.save"),
    "HDF5 of Keras": (hdf5(), "HDF5 file, as Keras writes", "PyTorch weights"),
    "GGUF": (b"GGUF\x03\x00\x00\x00" + bytes(64), "GGUF", r"\.safetensors"),
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x052.0.1" + bytes(64), "ONNX", "PyTorch weights"),
    "TensorFlow, index": (bytes(64) + bytes.fromhex("57fb808b247547db"), "TensorFlow", "PyTorch"),
    "TensorFlow, text": (b'model_checkpoint_path: "model.ckpt-100"\n', "TensorFlow", "PyTorch"),
    "JAX": (b"\x82\xa6params\x81\xa5dense\x81\xa6kernel\xc7\x00", "msgpack file, as JAX", "PyTorch"),
    "JSON": (b'{"metadata": {"total_size": 1}, "weight_map": {}}', "JSON text", "name the file of the weights"),
    "a text": (b"no weights at all here", "a text that begins with 'no weights", "weights of a network"),
    "PNG": (picture("PNG"), "a picture", "weights of a network"),
    "JPEG": (picture("JPEG"), "a picture", "weights of a network"),
    "noise": (bytes(range(200, 256)), "not a safetensors file, a torch file or a pickle", "safetensors"),
    "TorchScript": (torch_script(), "TorchScript archive", "state_dict"),
    "an attack in a pickle": (pickle.dumps({"ema": Attack()}), r"\w+\.mkdir", "state_dict"),
    "an attack in a torch file": (saved(Attack()), r"\w+\.mkdir", "state_dict"),
    "a pickle of StyleGAN": (pickle.dumps({"G": 1, "D": 2, "G_ema": 3}), "G, D, G_ema", "state_dict"),
    "numbers": (saved({"epoch": 3, "loss": 0.5}), "epoch, loss", "state_dict"),
    "an optimizer": (saved(optimizer()), "state, param_groups", "state_dict"),
}
"""What a file holds, what is said to be in it, and what helps."""
WEIGHTS = {
    "weights alone": (lambda state: saved(state), [], "holds weights alone", r"teacher\.architecture=PATH"),
    "cut off": (lambda state: saved(state)[:-500], [OWN], "its end is missing", "copy it again"),
    "cut off, of old torch": (
        lambda state: saved(state, _use_new_zipfile_serialization=False)[:-500],
        [OWN],
        "truncated, damaged or unsafe: a storage is shorter",
        "copy it again",
    ),
    "safetensors, cut off": (lambda state: safetensors(state)[:-500], [OWN], "safetensors", "copy it again"),
    "safetensors, header cut off": (lambda state: safetensors(state)[:100], [OWN], "safetensors", "copy it again"),
    "half of the tensors": (
        lambda state: saved(dict([*state.items()][: len(state) // 2])),
        [OWN],
        r"\d+ of the \d+ tensors of the architecture are missing: model\.dec",
        r"teacher\.architecture=PATH",
    ),
    "one tensor missing": (
        lambda state: saved({name: value for name, value in state.items() if name != "model.map_layer0.weight"}),
        [OWN],
        r"model\.map_layer0\.weight of the architecture is missing:",
        r"teacher\.architecture=PATH",
    ),
    "one tensor renamed": (
        lambda state: renamed(state, "model.map_layer1.bias", "model.map_layer1.offset"),
        [OWN],
        r"model\.map_layer1\.bias of the architecture is missing; not of the architecture: model\.map_layer1\.offset",
        r"teacher\.architecture=PATH",
    ),
    "one tensor transposed": (
        lambda state: changed(state, "model.map_layer0.weight", state["model.map_layer0.weight"].T.contiguous()),
        [OWN],
        r"model\.map_layer0\.weight has the shape 16 x 64, the architecture has 64 x 16",
        r"teacher\.architecture=PATH",
    ),
    "one tensor more": (
        lambda state: changed(state, "model.wings.weight", torch.zeros(3)),
        [OWN],
        r"model\.wings\.weight is no tensor of the architecture",
        r"teacher\.architecture=PATH",
    ),
    "NaN": (
        lambda state: changed(state, "model.map_layer0.bias", torch.full((64,), torch.nan)),
        [OWN],
        r"not finite in model\.map_layer0\.bias",
        "an earlier checkpoint",
    ),
    "integers": (
        lambda state: saved({name: value.to(torch.int8) for name, value in state.items()}),
        [OWN],
        "numbers of type int8",
        "expected float32",
    ),
    "other channels": (
        lambda state: saved(EDMPrecond(song(in_channels=1, out_channels=1)).state_dict()),
        [OWN],
        r"has the shape \d+ x 1 x 3 x 3, the architecture has \d+ x 3 x 3 x 3",
        r"teacher\.architecture=PATH",
    ),
    "another resolution": (
        lambda state: saved(EDMPrecond(song(img_resolution=32, channel_mult=(1, 2, 2))).state_dict()),
        [OWN],
        r"tensors of the architecture are missing: model\.enc\.16x16_conv",
        r"teacher\.architecture=PATH",
    ),
    "DataParallel of another architecture": (
        lambda state: prefixed("module.", ["layer1.0.conv1.weight", "fc.bias"]),
        [OWN],
        r"none of the tensors of the architecture .* is there, but layer1\.0\.conv1\.weight",
        r"teacher\.architecture=PATH",
    ),
    "several networks": (
        lambda state: saved({f"{name}{key}": value for name in ("a.", "b.") for key, value in state.items()}),
        [OWN],
        "holds 2 networks",
        r"choose teacher\.prefix=a\. or teacher\.prefix=b\.",
    ),
    "another key": (
        lambda state: saved({"model": state, "ema": state}),
        [OWN, "teacher.key=net"],
        "no weights under key=net",
        r"choose teacher\.key=model or teacher\.key=ema",
    ),
    "a key whose weights do not fit": (
        lambda state: saved({"model": state, "ema": {k: v for k, v in state.items() if "layer1.bias" not in k}}),
        [OWN, "teacher.key=ema"],
        r"model\.map_layer1\.bias of the architecture is missing",
        r"teacher\.architecture=PATH",
    ),
    "LoRA": (
        lambda state: prefixed("unet.", ["down.0.to_q.lora_A.weight", "down.0.to_q.lora_B.weight"]),
        [OWN],
        "a LoRA, differences to the weights of another network",
        "merge them",
    ),
    "LoRA, no architecture": (lambda state: prefixed("", ["lora_unet_a.weight"]), [], "a LoRA", "merge them"),
    "latent diffusion": (
        lambda state: saved(adm() | {"input_blocks.1.1.transformer_blocks.0.norm1.weight": torch.zeros(3)}),
        [ADM_SIDE],
        "a latent diffusion network",
        "take one of images",
    ),
    "conditioned on text": (
        lambda state: saved(adm() | {"input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(3, 3)}),
        [ADM_SIDE],
        "conditioned on text",
        "take an unconditional one",
    ),
    "a classifier": (
        lambda state: saved({name: value for name, value in adm().items() if "output_blocks" not in name}),
        [ADM_SIDE],
        "no output_blocks, as a classifier",
        "take one that denoises",
    ),
    "a network of volumes": (
        lambda state: saved(adm() | {"input_blocks.0.0.weight": torch.zeros(32, 3, 3, 3, 3)}),
        [ADM_SIDE],
        "for signals or volumes",
        "expected one for images",
    ),
    "a size of images that is not said": (
        lambda state: saved(adm()),
        [],
        "do not say the size of the images",
        r"\+teacher\.architecture\.model\.img_resolution=256",
    ),
    "guided diffusion by the name of another": (
        lambda state: saved(adm()),
        [OWN],
        "a network of guided diffusion",
        "recognized without an architecture",
    ),
    "a class of a network without": (
        lambda state: saved(state),
        [OWN, "teacher.class_label=3"],
        r"teacher\.class_label is 3, but the network in weights\.pth has no classes",
        "leave it out",
    ),
    "no class of a network with classes": (
        lambda state: saved(adm(label_dim=10)),
        [ADM_SIDE],
        r"no class is given, and the network in weights\.pth has 10 classes",
        r"teacher\.class_label=0 to 9",
    ),
    "a class beyond": (
        lambda state: saved(adm(label_dim=10)),
        [ADM_SIDE, "teacher.class_label=10"],
        r"teacher\.class_label is 10, and the network in weights\.pth has 10 classes",
        r"teacher\.class_label=0 to 9",
    ),
}
"""What makes a file of the weights of a network, the words of the request, what is said of it, and what helps."""


def song(**changes):
    arguments = {"img_resolution": 16, "in_channels": 3, "out_channels": 3, "model_channels": 16}
    arguments |= {"channel_mult": (1, 2), "num_blocks": 1, "attn_resolutions": (8,)}
    return SongUNet(**arguments | changes)


@pytest.fixture
def refused(alps, tmp_path, monkeypatch):
    """Return what gives weights.pth to a request, and checks that one line refuses it with the facts."""
    monkeypatch.chdir(tmp_path)

    def check(words, *facts):
        request = ["restore", "sampler=alps_teacher", "teacher=file", "teacher.name=weights.pth", *SMALL, *words]
        status, _, err = alps(*request, "output_root=out")
        lines = [line for line in err.splitlines() if line.startswith("alps: ")]
        assert status == 2 and len(lines) == 1 and "Traceback" not in err, err
        for fact in ("weights.pth", *facts):
            assert re.search(fact, lines[0]), lines[0]
        left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
        assert left <= {"weights.pth", "own.safetensors", "step_100.pt"} and not (tmp_path / "ran").exists()

    return check


@pytest.mark.parametrize("what", BYTES)
def test_what_is_no_checkpoint_is_refused(refused, tmp_path, what):
    content, found, cure = BYTES[what]
    (tmp_path / "weights.pth").write_bytes(content)
    refused([], found, cure)


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights_of_something_else_are_refused(refused, network, tmp_path, what):
    make, words, found, cure = WEIGHTS[what]
    save_model(tmp_path / "own.safetensors", network(3), "teacher")
    (tmp_path / "weights.pth").write_bytes(make(network(3).state_dict()))
    refused(words, found, cure)


def test_a_folder_is_refused_with_the_files_in_it(refused, tmp_path):
    (tmp_path / "weights.pth").mkdir()
    (tmp_path / "weights.pth" / "step_100.pt").touch()
    refused([], r"a folder of step_100\.pt", "or a file")


def test_a_file_that_is_not_there_is_refused(refused):
    refused([], "no teacher", "faces64")


def test_an_energy_is_no_teacher(refused, network, tmp_path):
    save_model(tmp_path / "weights.pth", network(3), "energy")
    refused([], "of this kind: energy", "expected: teacher")


def test_a_network_of_other_channels_is_refused(refused, network, tmp_path):
    save_model(tmp_path / "weights.pth", network(2), "teacher")
    refused([], "2 channels", "3 channels")
