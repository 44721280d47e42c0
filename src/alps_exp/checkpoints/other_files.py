"""Says what a file is that is no checkpoint, or weights that no network here has, and what helps."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from alps_exp.errors import listed, one_line

TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
"""Last bytes of the index of a TensorFlow checkpoint."""
UNPACK = "unpack it, and name the file in it"
TENSORFLOW = ("a TensorFlow file", "networks of TensorFlow are not read: take the weights of a PyTorch version")
KINDS: dict[bytes, tuple[str, str]] = {
    rb"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "run `git lfs pull` where it came from"),
    rb"\s*<(!doctype|html|\?xml)": ("a web page", "download the file itself, in a browser if the site asks something"),
    rb"\x1f\x8b": ("a gzip archive", UNPACK),
    rb"7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd": ("a packed archive", UNPACK),
    rb".{257}ustar": ("a tar archive", UNPACK),
    rb"GGUF|GGML": ("a GGUF file of quantized weights", "take the weights that it was made from (.pth, .safetensors)"),
    rb"\x89HDF": ("an HDF5 file, as Keras writes", "networks of Keras are not read: take PyTorch weights"),
    rb"\x93NUMPY": ("a NumPy array", "save weights by name, with torch.save(network.state_dict(), PATH)"),
    rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP|II\*\x00|MM\x00\*": ("a picture", "expected the weights of a network"),
    rb"%PDF": ("a PDF document", "expected the weights of a network"),
    rb"\x08\x01\x12|model_checkpoint_path": TENSORFLOW,
    rb"\x08[\x02-\x20]\x12": ("an ONNX file", "take the PyTorch weights that it was exported from"),
    rb"[\x81-\x8f][\xa1-\xbf\xd9]|[\xde\xdf].{2,4}[\xa1-\xbf\xd9]": (
        "a msgpack file, as JAX and Flax write",
        "networks of JAX are not read: take the weights of a PyTorch version",
    ),
    rb"\s*[{\[]": ("a JSON text", "name the file of the weights themselves, which this may describe"),
}
"""What files are by their first bytes, and what helps."""
NETWORKS = {
    r"(?<![a-z])lora[_.]": "a LoRA, differences to the weights of another network: merge them into it first",
    r"encoder_kv|attn2\.to_k|text_encoder|token_embedding|transformer\.resblocks|cond_stage_model": (
        "a network conditioned on text, which works on codes or needs words: take an unconditional one of images"
    ),
    r"transformer_blocks|first_stage_model|quant_conv": (
        "a latent diffusion network, which works on codes, not on images: take one of images"
    ),
    r"_flat_param|flat_param_": "a part of a sharded network: save its full state_dict() first",
    r"qweight|absmax|_packed_params": "a quantized network: take the weights that it was made from",
    r"(^|\.)input_blocks\.0\.0\.weight$": "a network of guided diffusion, which is recognized without an architecture",
    r"(^|\.)all_modules\.\d+\.": "a network of score_sde, which is recognized without the name of an architecture",
}
"""What weights are of, by names that occur in them, and what helps."""


class OtherFile(ValueError):
    """A file is something else than a checkpoint; the message says what, and what helps."""


def what_file(path: Path) -> str | None:
    """Return what a file is that is no checkpoint by its first bytes, and what helps; None if it is not known."""
    with open(path, "rb") as file:
        start = file.read(512)
        file.seek(max(0, path.stat().st_size - len(TABLE_MAGIC)))
        end = file.read()
    if not start:
        return "an empty file: copy it again"
    if end == TABLE_MAGIC or ".data-0000" in path.name:
        return ": ".join(TENSORFLOW)
    found = next((told for magic, told in KINDS.items() if re.match(magic, start, re.DOTALL | re.IGNORECASE)), None)
    if found is None and start.isascii() and (text := " ".join(start.decode().split())).isprintable():
        found = (f"a text that begins with {text[:40]!r}", "expected the weights of a network")
    return ": ".join(found) if found else None


def what_archive(members: Collection[str]) -> str:
    """Return what a zip archive is that is no torch file, and what helps."""
    names = {PurePosixPath(name).name for name in members}
    if "constants.pkl" in names or any("/code/" in name for name in members):
        return "a TorchScript archive, whose code is not run: save its state_dict() with torch.save instead"
    if any(name.endswith(".npy") for name in names):
        return f"a NumPy archive of {listed(sorted(members))}: save weights by name, with torch.save or safetensors"
    if any(name.endswith(".h5") for name in names):
        return "a Keras archive: networks of Keras are not read, take PyTorch weights"
    return f"a zip archive of {one_line(listed(sorted(members))) or 'nothing'}: {UNPACK}"


def what_network(names: Iterable[str]) -> str | None:
    """Return what weights are of, by their names, and what helps; None if it is not known."""
    text = "\n".join(names)
    return next((told for pattern, told in NETWORKS.items() if re.search(pattern, text, re.MULTILINE)), None)
