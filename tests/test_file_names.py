"""Names that users and archives choose, as names of files."""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from alps_exp.files import file_name, write_atomically

NAMES = st.builds(
    lambda repeated, count, end: repeated * count + end,
    st.sampled_from(["a", "é", "脳", "/", "%2F", "\0"]),
    st.sampled_from([0, 1, 28, 78, 79, 236, 237, 300]),
    st.text("a/%2F.~ é脳\n\0\u202e", max_size=4),
)
several = settings(deadline=None, max_examples=100, derandomize=True)


@several
@given(st.lists(NAMES, unique=True, min_size=2, max_size=20), st.sampled_from(["", ".h5"]))
def test_different_names_have_different_files(names, suffix):
    assert len({file_name(name, suffix) for name in names}) == len(names)


@several
@given(NAMES)
def test_a_file_of_any_name_is_written_into_its_folder_and_nowhere_else(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("names") / "images"
    path = folder / file_name(name, ".h5")
    assert len(os.fsencode(path.name)) <= 255 and path.name.isprintable() and path.name.endswith(".h5")
    write_atomically(path, b"content")
    assert os.listdir(folder.parent) == ["images"] and os.listdir(folder) == [path.name]
