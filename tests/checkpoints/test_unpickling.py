"""Forged pickles: each is refused in words, none runs, changes or fills anything, and good files read as before."""

import collections
import pickle
import struct

import numpy as np
import pytest
import torch

from alps_exp.checkpoints import unpickling
from alps_exp.checkpoints.unpickling import DataUnpickler, StoredObject, read_pickle

START = b"\x80\x04"
DICT = b"ccollections\nOrderedDict\n"
SET = b"cbuiltins\nset\n"
MODULES = b"ctorch.nn.modules.container\nModuleDict\n"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"ctorch.storage\n_load_from_bytes\n"
DTYPE = b"cnumpy\ndtype\n"
SCALAR = b"cnumpy.core.multiarray\nscalar\n"
MANY = 2 * 10**5


def text(word):
    return b"\x8c" + bytes([len(word)]) + word.encode()


def state(**values):
    return b"}(" + b"".join(text(name) + text(value) for name, value in values.items()) + b"u"


def slots(**values):
    return b"N" + state(**values) + b"\x86"


def storage(content=None):
    """Return what reads as a storage of four numbers, or claims to."""
    of_four_numbers = torch.zeros(4).__reduce_ex__(4)[1][0].__reduce__()[1][0]
    content = of_four_numbers if content is None else pickle.dumps(content, protocol=2)
    return STORAGE + b"B" + struct.pack("<I", len(content)) + content + b"\x85R"


def tensor(size, stride):
    return TENSOR + b"(" + storage() + b"K\x00" + size + b"\x85" + stride + b"\x85\x89)tR"


FORGED = {
    "state of a class": MODULES + state(class_name="x") + b"b",
    "attributes of a class": MODULES + slots(class_name="x") + b"b",
    "attributes of OrderedDict": DICT + slots(update="x") + b"b",
    "dictionary of a function": TENSOR + state(__setstate__="x") + b"b",
    "attributes of a function": TENSOR + slots(__wrapped__="x") + b"b",
    "attributes of an OrderedDict": DICT + b")R" + slots(items="x") + b"b",
    "state of a dictionary": b"}" + state(a="b") + b"b",
    "state of a set": b"\x8f" + state(a="b") + b"b",
    "state of a list": b"]" + state(a="b") + b"b",
    "state of a text": text("x") + state(a="b") + b"b",
    "state of a tensor": tensor(b"K\x04", b"K\x01") + b"(K\x00K\x00K\x00K\x00tb",
    "slots of an object": b"N" + state(class_name="x") + b"b",
    "extension 1": b"\x82\x01",
    "extension 2": b"\x83\x01\x00",
    "extension 4": b"\x84\x01\x00\x00\x00",
    "persistent id": b"Pid\n",
    "persistent id on the stack": text("id") + b"Q",
    "instance": b"(icollections\nOrderedDict\n",
    "object": b"(" + DICT + b"o",
    "object with keywords": DICT + b")}\x92",
    "call of a text": text("x") + b")R",
    "call of a stored object": MODULES + b")R)R",
    "call of a tensor": tensor(b"K\x04", b"K\x01") + b")R",
    "call without a tuple": DICT + b"]R",
    "new object of a list": b"])\x81",
    "OrderedDict of something": DICT + b"]\x85R",
    "set of lists": SET + b"]]a\x85R",
    "method of a class": b"ccollections\nOrderedDict.update\n",
    "globals of a function": b"ctorch.storage\n_load_from_bytes.__globals__\n",
    "eval": text("builtins") + text("eval") + b"\x93" + text("1") + b"\x85R",
    "getattr": b"cbuiltins\ngetattr\n",
    "name of a number": b"K\x01K\x01\x93",
    "deep key": b"})" + b"\x85" * MANY + b"Ns",
    "deep key among several": b"}()" + b"\x85" * MANY + b"Nu",
    "deep item": b"\x8f()" + b"\x85" * MANY + b"\x90",
    "deep item of a set": SET + b"])" + b"\x85" * MANY + b"a\x85R",
    "item of a text": text("x") + text("y") + b"Ns",
    "item of a list": b"]K\x00Ns",
    "item of a stored object": MODULES + b")R" + text("y") + b"Ns",
    "append to a tuple": b")Na",
    "extend a tensor": tensor(b"K\x04", b"K\x01") + b"(Ne",
    "long bytes": b"\x8e" + struct.pack("<Q", 2**62),
    "long text": b"\x8d" + struct.pack("<Q", 2**62),
    "long number": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "number of negative length": b"\x8b" + struct.pack("<i", -1),
    "long frame": b"\x95" + struct.pack("<Q", 2**62),
    "unknown memo": b"h\x05",
    "memo of nothing": b"r\xff\xff\xff\xff",
    "nothing to take": b"0",
    "no mark": b"t",
    "text of protocol 0": b"S'x'\n",
    "number of protocol 0": b"I1\n",
    "byte array": b"\x96" + struct.pack("<Q", 0),
    "buffer": b"\x97",
    "protocol": b"\x80\x63N",
    "unknown instruction": b"\xff",
    "storage of a dictionary": storage({}),
    "storage of no bytes": STORAGE + text("x") + b"\x85R",
    "tensor beyond its storage": tensor(b"K\x05", b"K\x01"),
    "tensor of one number repeated": tensor(b"\x8a\x06\x00\x00\x00\x00\x00\x01", b"K\x00"),
    "tensor without a storage": TENSOR + b"(NK\x00))\x89)tR",
    "number that is an object": SCALAR + DTYPE + text("O8") + b"\x85RNbC\x08" + bytes(8) + b"\x86R",
    "number of a wrong length": SCALAR + DTYPE + text("f8") + b"\x85R(K\x03" + text("<") + b"tb" + b"C\x01\x01\x86R",
}


def traces():
    """Return what a file could leave behind: attributes of all that the reader has."""
    own = [value for value in vars(unpickling).values() if getattr(value, "__module__", "") == unpickling.__name__]
    holders = [*own, *unpickling.KNOWN.values(), *vars(DataUnpickler).values(), collections.OrderedDict, torch.Tensor]
    return [dict(vars(holder)) if hasattr(holder, "__dict__") else None for holder in holders]


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.pkl"
    modules = collections.OrderedDict(a={"x", "y"}, b=[1, 2.5, None, True, "text", (3,), b"bytes", np.float64(0.5)])
    path.write_bytes(pickle.dumps({"modules": modules, "weights": torch.arange(6.0).reshape(2, 3).T}, protocol=4))
    return path


def same(one, other):
    return one["modules"] == other["modules"] and torch.equal(one["weights"], other["weights"])


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_file_is_refused_and_leaves_no_trace(name, good, tmp_path):
    path = tmp_path / "forged.pkl"
    path.write_bytes(START + FORGED[name] + b".")
    expected, before = read_pickle(good), traces()
    with pytest.raises(ValueError) as refused:
        read_pickle(path)
    assert str(path) in str(refused.value) and len(str(refused.value).splitlines()) == 1
    assert traces() == before and same(read_pickle(good), expected)


@pytest.mark.parametrize("content", [b"", START, START + b"N", b"\x00", b"PK\x03\x04"])
def test_what_is_no_whole_pickle_is_refused(content, tmp_path):
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(ValueError, match="x.pkl"):
        read_pickle(tmp_path / "x.pkl")


def test_data_are_read(good):
    read = read_pickle(good)
    assert read["modules"] == {"a": {"x", "y"}, "b": [1, 2.5, None, True, "text", (3,), b"bytes", 0.5]}
    assert torch.equal(read["weights"], torch.arange(6.0).reshape(2, 3).T)


def test_the_state_of_an_object_is_only_stored(tmp_path):
    path = tmp_path / "object.pkl"
    path.write_bytes(START + MODULES + b")\x81" + slots(class_name="x", __class__="y") + b"b.")
    stored = read_pickle(path)
    assert type(stored) is StoredObject and stored.class_name == "ModuleDict"
    assert stored.state == (None, {"class_name": "x", "__class__": "y"})


REPEATED = {
    "many sets": (b"\x8f" * 101, "more than 100 containers"),
    "many references": (b"N" + b"\x94" * 101, "more than 100 containers"),
    "many tuples": (b"N" + b"\x85" * 101, "more than 100 containers"),
    "a storage again": (storage()[:-2] + b"\x94\x85R0" + STORAGE + b"h\x00\x85R", "the same data again and again"),
    "a set again": (b"](" + text("x") * 50 + b"e\x94(" + (SET + b"h\x00\x85R") * 10 + b"t", "the same data again"),
    "sizes of text": (TENSOR + b"(" + storage() + b"K\x00K\x09" + text("aa") + b"\x86K\x01\x85\x89)tR", "no numbers"),
    "class of lists": (
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}("
        + text("class_name")
        + b"]"
        + text("state")
        + b"Nu\x85R",
        "the name of a class is a list, expected a text",
    ),
    "number of a list": (SCALAR + DTYPE + b"]\x85R(K\x03" + text("<") + b"tb" + b"C\x01\x01\x86R", "none of b1"),
    "long name": (b"c" + b"a" * 60_000 + b"\nb\n", "names the global aaa"),
}


@pytest.mark.parametrize("name", REPEATED)
def test_what_a_few_bytes_would_make_large_is_refused_in_a_short_sentence(name, tmp_path, monkeypatch):
    monkeypatch.setattr(unpickling, "MOST", 100)
    content, message = REPEATED[name]
    (tmp_path / "forged.pkl").write_bytes(START + content + b".")
    with pytest.raises(ValueError, match=message) as refused:
        read_pickle(tmp_path / "forged.pkl")
    assert len(str(refused.value)) < 1000
