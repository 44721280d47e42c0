"""Which folder of configs is ours: that of the wheel, or of the checkout, whatever other `conf` lies beside it."""

from alps_exp.config import folder


def test_an_installed_package_takes_its_own_configs(tmp_path, monkeypatch):
    package = tmp_path / "lib" / "alps_exp"
    for configs in (package / "conf", tmp_path / "conf"):  # as with pip install --target lib beside a project's conf
        configs.mkdir(parents=True)
    monkeypatch.setattr(folder, "PACKAGE", package)
    assert folder.config_folder() == package / "conf"


def test_a_checkout_takes_its_own_configs(tmp_path, monkeypatch):
    package = tmp_path / "src" / "alps_exp"
    (tmp_path / "conf").mkdir()
    package.mkdir(parents=True)
    monkeypatch.setattr(folder, "PACKAGE", package)
    assert folder.config_folder() == tmp_path / "conf"
