"""NVlabs' pickles: read by name, their source never run, and whatever else a pickle can name refused."""

import collections
import os
import pickle

import pytest
import torch

from alps_exp.checkpoints.nvlabs import nvlabs_network
from alps_exp.checkpoints.reading import read_checkpoint
from alps_exp.checkpoints.unpickling import StoredObject, read_pickle
from alps_exp.networks import DhariwalUNet, SongUNet, VPPrecond, iDDPMPrecond
from alps_exp.priors import load_energy, load_teacher

ARGUMENTS = {"img_resolution": 16, "img_channels": 3, "model_channels": 32, "channel_mult": [1, 2], "num_blocks": 1}


def randomized(network):
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def model_arguments(**changes):
    arguments = {name: value for name, value in ARGUMENTS.items() if name != "img_channels"}
    return arguments | {"in_channels": 3, "out_channels": 3} | changes


def vp_network():
    return randomized(VPPrecond(SongUNet(**model_arguments(label_dim=4, augment_dim=9))))


def test_a_pickle_gives_the_outputs_of_its_network(nvlabs_pickle):
    network = vp_network()
    arguments = ARGUMENTS | {"label_dim": 4, "augment_dim": 9, "use_fp16": True, "label_dropout": 0.1}
    path = nvlabs_pickle(network, arguments, dataset_kwargs={"path": "x"})
    checkpoint = read_checkpoint(path)
    read, notes = checkpoint.network, checkpoint.notes
    x, sigma = torch.randn(5, 3, 16, 16), torch.tensor([0.002, 0.05, 1.0, 10.0, 80.0])
    labels, augment = torch.eye(4)[[0, 1, 2, 3, 0]], torch.randn(5, 9)
    assert torch.equal(read.eval()(x, sigma, labels, augment), network(x, sigma, labels, augment))
    assert not torch.equal(network(x, sigma, labels, augment), network(x, sigma, labels))
    assert notes["noise scales"] == "0.002 to 80"
    denoised = load_teacher(path, class_label=1).denoise(x, sigma)
    assert torch.equal(denoised, network(x, sigma, torch.eye(4)[[1] * 5]))
    for wrong in (4, -1, None):
        with pytest.raises(ValueError, match=r"network\.pkl has 4 classes: teacher\.class_label=0 to 3"):
            load_teacher(path, class_label=wrong)


def test_arguments_without_a_name_and_variances_are_understood(nvlabs_pickle):
    network = randomized(iDDPMPrecond(DhariwalUNet(**model_arguments(out_channels=6, attn_resolutions=[8])), M=50))
    rest = {"model_channels": 32, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [8], "M": 50}
    read = read_checkpoint(nvlabs_pickle(network, rest, positional=(16, 3))).network
    x, sigma = torch.randn(2, 3, 16, 16), torch.tensor([0.5, 40.0])
    assert torch.equal(read.eval()(x, sigma), network(x, sigma))


def test_a_global_outside_the_list_is_refused_with_its_name(nvlabs_pickle, tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    path = nvlabs_pickle(vp_network(), ARGUMENTS, other=Attack())
    with pytest.raises(ValueError, match=f"{os.system.__module__}.system"):
        load_teacher(path)


def test_a_global_inside_a_storage_is_refused_with_its_name(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    class Storage:
        def __reduce__(self):
            torch.save(Attack(), tmp_path / "inner", _use_new_zipfile_serialization=False)
            return torch.storage._load_from_bytes, ((tmp_path / "inner").read_bytes(),)

    (tmp_path / "storage.pkl").write_bytes(pickle.dumps({"ema": Storage()}))
    with pytest.raises(ValueError, match=f"{os.system.__module__}.system"):
        load_teacher(tmp_path / "storage.pkl")
    assert not (tmp_path / "ran").exists()


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    class Tensor:
        def __reduce__(self):
            storage = torch.zeros(4).__reduce_ex__(4)[1][0]
            return torch._utils._rebuild_tensor_v2, (storage, 2, (4,), (1,), False, collections.OrderedDict())

    (tmp_path / "tensor.pkl").write_bytes(pickle.dumps({"ema": Tensor()}))
    with pytest.raises(ValueError, match="out of bounds"):
        load_teacher(tmp_path / "tensor.pkl")


def test_what_is_no_whole_network_is_refused(nvlabs_pickle, tmp_path):
    path = nvlabs_pickle(vp_network(), ARGUMENTS | {"label_dim": 4, "augment_dim": 9, "wings": 2})
    with pytest.raises(ValueError, match="architecture.*wings"):
        load_teacher(path)
    path = nvlabs_pickle(vp_network(), ARGUMENTS | {"augment_dim": 9})
    with pytest.raises(ValueError, match="architecture.*map_label"):
        load_teacher(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="truncated"):
        load_teacher(path)
    path.write_bytes(pickle.dumps({"G_ema": 1}))
    with pytest.raises(ValueError, match="no network `ema` of NVlabs' EDM code, but G_ema"):
        load_teacher(path)


@pytest.mark.parametrize("damage", ["without end", "in itself", "sigma_min", "_modules"])
def test_a_forged_module_is_refused_in_one_line(damage, nvlabs_pickle):
    network = vp_network()
    path = nvlabs_pickle(network, ARGUMENTS | {"label_dim": 4, "augment_dim": 9})
    content = read_pickle(path)
    model = content["ema"].state["_modules"]["model"]
    children = model.state["_modules"]
    if damage == "without end":
        for _ in range(60):
            state = {"_parameters": {}, "_buffers": {}, "_modules": dict.fromkeys("ab", children["map_layer0"])}
            children["map_layer0"] = StoredObject("Linear", state=state)
    elif damage == "in itself":
        children["again"] = model
    else:
        del (content["ema"] if damage == "sigma_min" else model).state[damage]
    with pytest.raises(ValueError, match=f"{path}.*architecture"):
        nvlabs_network(path, content, "ema")


@pytest.mark.parametrize("forged", [{"channel_mult": []}, {"model_channels": 0}, {"img_resolution": 10**30}])
def test_forged_arguments_are_refused_in_one_line(forged, nvlabs_pickle):
    path = nvlabs_pickle(vp_network(), ARGUMENTS | forged)
    with pytest.raises(ValueError, match="architecture") as refusal:
        read_checkpoint(path)
    assert "\n" not in str(refusal.value)


def test_the_authors_weights_load_onto_a_converted_teacher(nvlabs_pickle, tmp_path):
    teacher = nvlabs_pickle(vp_network(), ARGUMENTS | {"label_dim": 4, "augment_dim": 9})
    torch.manual_seed(1)
    energy = vp_network()
    torch.nn.init.normal_(energy.model.map_layer0.weight)
    weights = tmp_path / "best_model.pth"
    torch.save({f"net.{name}": value for name, value in energy.state_dict().items()}, weights)
    x, t = torch.randn(1, 3, 16, 16), 0.7
    expected = (x - energy(x, torch.tensor([t]), torch.eye(4)[[2]])).square().sum() / 2
    assert torch.allclose(load_energy(weights, architecture=teacher, class_label=2).energy(x, t), expected)
    with pytest.raises(ValueError, match="weights alone.*teacher"):
        load_energy(weights)
    with pytest.raises(ValueError, match="net.model.map_label.weight"):
        load_energy(weights, architecture="faces64")


def test_a_missing_or_other_file_is_said_in_one_line(nvlabs_pickle, tmp_path):
    place = tmp_path / "edm.pkl"
    with pytest.raises(ValueError, match=f"{place}.*https://there"):
        load_teacher(place, source="https://there")
    with pytest.raises(ValueError, match="[0-9a-f]{64}.* 00"):
        load_teacher(nvlabs_pickle(vp_network(), ARGUMENTS), sha256="00")


def test_parameters_that_the_network_does_not_have_are_refused(nvlabs_pickle):
    path = nvlabs_pickle(vp_network(), ARGUMENTS | {"label_dim": 4, "augment_dim": 9})
    content = read_pickle(path)
    wide = torch.zeros(1, dtype=torch.uint8).expand(10**12)  # of 4 TB in single precision
    content["ema"].state["_parameters"] = {f"\x1b[2J{i}": wide for i in range(1000)}
    with pytest.raises(ValueError, match="do not fit their architecture.*is no tensor of the architecture") as refusal:
        nvlabs_network(path, content, "ema")
    assert len(str(refusal.value)) < 1000 and str(refusal.value).isprintable()


def test_large_descriptions_are_refused_with_file_and_key(nvlabs_pickle):
    path = nvlabs_pickle(vp_network(), ARGUMENTS | {"num_blocks": 10**6})
    with pytest.raises(ValueError, match=f"{path}.*num_blocks is 1,000,000, expected at most 100,000"):
        read_checkpoint(path)


def test_modules_of_endless_names_are_refused(nvlabs_pickle):
    path = nvlabs_pickle(vp_network(), ARGUMENTS | {"label_dim": 4, "augment_dim": 9})
    content = read_pickle(path)
    content["ema"].state["_modules"]["n" * 300] = StoredObject("Linear", state={})
    with pytest.raises(ValueError, match="name is too long"):
        nvlabs_network(path, content, "ema")
