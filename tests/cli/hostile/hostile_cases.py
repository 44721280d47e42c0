"""Every hostile file with the command line that would read it."""

from collections.abc import Callable
from typing import NamedTuple

from hostile_archives import ARCHIVES
from hostile_arrays import MASK_H5, MASKS, NPY, NPZ, mask_h5, of_objects
from hostile_hdf5 import HDF5, NOISES, OUTSIDE_HDF5, flipped, volume
from hostile_nrrd import NRRD
from hostile_pickles import PICKLES, pickled, touch
from hostile_pictures import PICTURE_FILES, in_folder, picture, special_files
from hostile_place import Place, both, written
from hostile_prepared import VOLUMES, prepared
from hostile_records import RECORDS, RESULTS
from hostile_runs import CALIBRATIONS, CONFIGS, DONES, STARTS, calibration, run_folder
from hostile_safetensors import SAFETENSORS, whole_model
from hostile_torch import TORCH


class Case(NamedTuple):
    """A hostile file and its command; `foreign`: its data lie outside, so that no result may come of it."""

    name: str
    make: Callable[[Place], object]
    command: list[str]
    foreign: bool = False


INSPECT = ["checkpoint", "inspect", "path=file"]
CONVERT = ["checkpoint", "convert", "path=file", "kind=teacher", "output=new.safetensors"]
SHORT = ["sampler.schedule.steps=2", "num_samples=2", "logger=none", "figures=false", "trainer.accelerator=cpu"]
PRIOR = ["restore", "data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12"]
PRIOR += ["data.test.count=2", *SHORT]
MODEL = ["restore", "data=prior", "energy=file", "energy.name=file", "teacher=gaussian", "data.test.prior=${teacher}"]
MODEL += ["data.test.count=1", "operator=inpaint_random", *SHORT]
RGB = [f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", ".channels=3")]
PICTURES = ["restore", "data=folder", "data.test.size=16", *RGB, "operator=denoise", "data.batch_size=2", *SHORT]
FOLDER, ARCHIVE = ([*PICTURES, f"data.test.path={path}"] for path in ("images", "images.zip"))
MAPS = ["maps.calibration_width=8", "maps.kernel_width=3", "maps.max_iterations=30"]
PREPARE = ["prepare", "source=files", "output=prepared", "num_workers=1", *MAPS]
COMPLEX = [f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", ".complex_valued=true")]
PREPARED = ["restore", "data=fastmri", "data.test.path=prepared", *COMPLEX, "operator=retrospective_2x", *SHORT]
SUBJECT = [
    "restore",
    "data=subject",
    "data.test.path=head.nrrd",
    "data.test.size=16",
    *COMPLEX,
    "operator=denoise",
    *SHORT,
]
TABLE, AGAIN = ["table", "runs=run", "output=table"], ["restore", "--from", "run", "trainer.accelerator=cpu"]
RESUME = [*PRIOR, "operator=inpaint_random"]
MEASURED = [*FOLDER, "data.test.measured=true", "operator=inpaint_measured"]
ARRAYS = [*PREPARE, "reader=arrays"]


def mask_request(name):
    return [*PRIOR, "operator=inpaint_file", f"operator.mask.path={name}"]


def among(makers, *names):
    """Return the items of a dictionary of makers that have one of some names."""
    return [(what, makers[what]) for what in names]


CHECKPOINTS = [
    *(Case(f"pickle_{what}", pickled(value), INSPECT) for what, value in PICKLES.items()),
    *(Case(f"torch_{what}", make, INSPECT) for what, make in TORCH.items()),
    *(Case(f"safetensors_{what}", make, INSPECT) for what, make in SAFETENSORS.items()),
    Case("convert_pickle_reduce", pickled(touch), CONVERT),
    Case("convert_torch_laughs", TORCH["laughs_as_an_epoch"], CONVERT),
    Case("convert_deep_history", SAFETENSORS["deep_history"], CONVERT),
    Case("model_control", whole_model(), MODEL),
    Case("model_pickle_reduce", pickled(touch), MODEL),
    Case("model_deep_history", SAFETENSORS["deep_history"], MODEL),
    *(
        Case(f"model_card_{what}", both(whole_model(), written(b"| resolution | " + text, "file.md")), MODEL)
        for what, text in {
            "that_is_no_text": b"\xff\xfe",
            "of_many_digits": b"9" * 10_000 + b" x 9",
        }.items()
    ),
]
IMAGES = [
    *(
        Case(f"zip_{what}", make, [*ARCHIVE, *(["data.test.indices=[0,2]"] if "100000" in what else [])])
        for what, make in ARCHIVES.items()
    ),
    *(Case(f"picture_{what}", in_folder(content), FOLDER) for what, content in PICTURE_FILES.items()),
    Case("picture_special_files", special_files, FOLDER),
    *(
        Case(f"damaged_{what}", in_folder(content), MEASURED)
        for what, content in among(PICTURE_FILES, "png_of_13000_with_alpha", "postscript")
    ),
    *(
        Case(
            f"damage_mask_{what}",
            both(in_folder(picture(seed=1)), written(content, "mask.png")),
            [*MEASURED, "data.test.masks=mask.png"],
        )
        for what, content in among(PICTURE_FILES, "png_of_13000_with_alpha")
    ),
]
KSPACE = [
    *(Case(f"hdf5_{what}", volume(edit), PREPARE, what in OUTSIDE_HDF5) for what, edit in HDF5.items()),
    *(Case(f"hdf5_flipped_{seed}", flipped(seed), PREPARE) for seed in (0, 2, 6)),
    *(
        Case(f"arrays_{what}", volume(edit), ARRAYS, what in OUTSIDE_HDF5)
        for what, edit in among(HDF5, "link_to_another_file", "declared_of_12_GB", "parts_of_text")
    ),
    *(
        Case(f"npy_{what}", written(content, "files/bad.npy"), [*ARRAYS, "reader.axes=[coil,row,column]"])
        for what, content in NPY.items()
    ),
    *(
        Case(f"noise_{what}", volume(edit), [*ARRAYS, "noise=scan"], what == "link_to_another_file")
        for what, edit in NOISES.items()
    ),
    *(Case(f"nrrd_{what}", make, SUBJECT, what.startswith("data_")) for what, make in NRRD.items()),
    *(
        Case(f"prepared_{what}", prepared(edit), PREPARED, what in ("link_to_another_file", "linked_file"))
        for what, edit in VOLUMES.items()
    ),
]
ALL_MASKS = [
    *(
        Case(f"{path}_{what}", written(content, path), mask_request(path))
        for path, contents in MASKS.items()
        for what, content in contents.items()
    ),
    *(Case(f"mask.npz_{what}", make, mask_request("mask.npz")) for what, make in NPZ.items()),
    *(
        Case(
            f"mask.h5_{what}",
            mask_h5(edit),
            mask_request("mask.h5"),
            what in ("link_to_another_file", "external_storage"),
        )
        for what, edit in MASK_H5.items()
    ),
    Case("region_objects", written(of_objects, "r.npy"), [*RESUME, "regions={a: r.npy}", "interval=null"]),
    Case("region_of_passwd", lambda place: None, [*RESUME, "regions={a: /etc/passwd}"]),
]
RUNS = [
    Case("again_control", run_folder(lambda run, place: None), AGAIN),
    *(Case(f"again_config_{what}", run_folder(edit), AGAIN) for what, edit in CONFIGS.items()),
    *(
        Case(f"again_starts_{what}", run_folder(edit), AGAIN)
        for what, edit in among(
            STARTS, "nested", "a_number", "version_is_a_number", "runs_is_empty", "command_is_empty", "a_pipe"
        )
    ),
    *(
        Case(f"table_config_{what}", run_folder(edit), TABLE)
        for what, edit in among(CONFIGS, "os_system", "laughs", "a_pipe")
    ),
    *(
        Case(f"table_starts_{what}", run_folder(edit), TABLE)
        for what, edit in among(
            STARTS, "nested", "version_of_many_digits", "command_is_empty", "seeds_are_10^400", "many_images", "a_pipe"
        )
    ),
    *(Case(f"table_records_{what}", run_folder(edit), TABLE) for what, edit in RECORDS.items()),
    *(Case(f"table_result_{what}", run_folder(edit), TABLE, what == "linked") for what, edit in RESULTS.items()),
    *(Case(f"table_calibration_{what}", calibration(text), TABLE) for what, text in CALIBRATIONS.items()),
    Case("resume_control", run_folder(lambda run, place: None, "outputs"), RESUME),
    *(Case(f"resume_done_{what}", run_folder(edit, "outputs"), RESUME) for what, edit in DONES.items()),
    *(
        Case(f"resume_starts_{what}", run_folder(edit, "outputs"), RESUME)
        for what, edit in among(STARTS, "runs_is_empty", "many_images", "a_pipe")
    ),
    *(
        Case(f"resume_config_{what}", run_folder(edit, "outputs"), RESUME)
        for what, edit in among(CONFIGS, "os_system", "a_pipe")
    ),
    *(
        Case(f"resume_result_{what}", run_folder(edit, "outputs"), RESUME)
        for what, edit in among(RESULTS, "records_are_nested", "declared_of_3_GB", "link_to_another_file", "linked")
    ),
]
CASES = [*CHECKPOINTS, *IMAGES, *KSPACE, *ALL_MASKS, *RUNS]
assert len({case.name for case in CASES}) == len(CASES)
