"""Each habit of a published package that an earlier clean-up broke, as a small package; and what may go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.wheels import Installed

TESTS = {"{0}/tests/__init__.py": "", "{0}/tests/test_one.py": "def test_one():\n    assert True\n"}


def with_tests(name: str) -> dict[str, str]:
    return {path.format(name): text for path, text in TESTS.items()}


LAZY = """
import ast, importlib, os
def attach_stub(name, file):
    stub = os.path.splitext(file)[0] + ".pyi"
    if not os.path.isfile(stub):
        raise ValueError(f"Cannot load imports from non-existent stub {stub!r}")
    names = {}
    for node in ast.parse(open(stub).read()).body:
        names.update({each.name: node.module for each in node.names})
    def get(attribute):
        if attribute not in names:
            raise AttributeError(attribute)
        part = names[attribute]
        found = importlib.import_module(f"{name}.{part or attribute}")
        return getattr(found, attribute) if part else found
    return get, lambda: sorted(names), sorted(names)
"""


def test_stubs_that_a_lazy_loader_reads_stay(installed: Installed) -> None:
    installed.add("lazy", {"lazy.py": LAZY})
    files = {"sound/__init__.py": "import lazy\n__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)\n"}
    files |= {"sound/__init__.pyi": "from .core import load\nfrom . import effects\n", "sound/core.py": "load = 1\n"}
    installed.add("sound", {**files, "sound/effects.py": "trim = 2\n"})
    assert installed.clean().returncode == 0
    assert installed.python("import sound; print(sound.load, sound.effects.trim)") == "1 2"


def test_what_all_names_and_star_imports_stays(installed: Installed) -> None:
    package = {"table/__init__.py": "__all__ = ['f2py']\ndef __getattr__(name):\n    import importlib\n"}
    package["table/__init__.py"] += "    return importlib.import_module(f'table.{name}')\n"
    installed.add("table", {**package, "table/f2py/__init__.py": "", "table/distutils/__init__.py": ""})
    assert installed.clean().returncode == 0
    assert installed.python("from table import *; import table.distutils; print(f2py.__name__)") == "table.f2py"


def test_folders_called_bin_and_include_are_read(installed: Installed) -> None:
    code = "from pathlib import Path\nHERE = Path(__file__).parent\nTABLE = (HERE / 'bin' / 'table.txt').read_text()\n"
    code += "def get_include():\n    return str(HERE / 'include')\n"
    files = {
        "tool/__init__.py": code,
        "tool/bin/table.txt": "rows",
        "tool/include/tool.h": "#define X 1\n",
        "tool/c.pyx": "x",
    }
    installed.add("tool", files)
    assert installed.clean().returncode == 0
    assert installed.python("import tool, os; print(tool.TABLE, os.listdir(tool.get_include()))") == "rows ['tool.h']"
    assert installed.has("tool/c.pyx")


@pytest.mark.parametrize(
    "code",
    [
        "from sky.tests import test_one",
        "from .tests.test_one import test_one",
        "from . import tests",
        "def helper():\n    from sky.tests import test_one\n    return test_one",
        "import importlib\ndef load():\n    return importlib.import_module(f'{__name__}.tests')",
        "from pathlib import Path\nPLACE = Path(__file__).parent / 'tests'",
        "PLACE = 'sky/tests/test_one.py'",
        "from importlib import resources\ndef table():\n    return resources.files('sky.tests')",
    ],
)
def test_tests_that_other_code_refers_to_stay(installed: Installed, code: str) -> None:
    installed.add("sky", {**with_tests("sky"), "sky/__init__.py": f"{code}\n"})
    assert installed.clean().returncode == 0
    assert installed.has("sky/tests/test_one.py")


def test_tests_that_another_package_imports_stay_and_what_they_refer_to(installed: Installed) -> None:
    installed.add("sky", {**with_tests("sky"), "sky/__init__.py": "", "sky/deep/__init__.py": ""})
    installed.add("deep", {**with_tests("sky/deep"), "sky/tests/__init__.py": "import sky.deep.tests\n"})
    installed.add("user", {"user.py": "from sky.tests import test_one\n"})
    assert installed.clean().returncode == 0
    assert installed.python("import user; print(user.test_one.__name__)") == "sky.tests.test_one"
    assert installed.has("sky/deep/tests/test_one.py")


def test_a_compiled_module_and_an_entry_point_are_references(installed: Installed) -> None:
    installed.add("one", {**with_tests("one"), "one/__init__.py": "", "one/fast.so": b"\x7fELF\0one.tests.test_one\0"})
    installed.add("two", {**with_tests("two"), "two/__init__.py": ""}, "[plugins]\nx = two.tests:plugin\n")
    assert installed.clean().returncode == 0
    assert installed.has("one/tests/test_one.py")
    assert installed.has("two/tests/test_one.py")


def test_a_folder_of_data_called_tests_stays(installed: Installed) -> None:
    installed.add("corpus", {"corpus/__init__.py": "", "corpus/tests/words.json": "[]"})
    assert installed.clean().returncode == 0
    assert installed.has("corpus/tests/words.json")


def test_tests_that_nothing_refers_to_go_with_bytecode_static_libraries_and_commands(installed: Installed) -> None:
    prose = "'''How to run the tests: python -m pytest sky.tests'''\nNOTE = 'the tests are not shipped'\n"
    files: dict[str, str | bytes] = {**with_tests("sky"), "sky/__init__.py": prose, "sky/conftest.py": "X = 'tests'\n"}
    files |= {"sky/libsky.a": b"!<arch>\nxyz", "sky/data.a": "no archive", "sky/__pycache__/old.cpython-311.pyc": b"x"}
    files |= {
        "bin/sky": "#!/tools/bin/python3\n",
        "bin/native": b"\x7fELF",
        "tests/test_stranger.py": "",
        "tests/__init__.py": "",
    }
    installed.add("sky", files)
    assert installed.clean().returncode == 0
    gone = ["sky/tests", "sky/libsky.a", "sky/__pycache__", "bin/sky", "tests"]
    assert [path for path in gone if installed.has(path)] == []
    assert all(installed.has(path) for path in ("sky/data.a", "bin/native", "sky/conftest.py"))


def test_what_only_an_import_shows_is_put_back(installed: Installed) -> None:
    """The name of the folder is nowhere in the code, so that no reading of it can tell."""
    code = "import importlib\nname = 'st' + 'set'\nimportlib.import_module(f'sky.{name[::-1]}')\n"
    installed.add("sky", {**with_tests("sky"), "sky/__init__.py": code})
    installed.add("moon", {**with_tests("moon"), "moon/__init__.py": "import sky\n"})
    done = installed.clean()
    assert (done.returncode, done.stderr) == (0, "")
    assert "kept: sky/tests" in done.stdout
    assert installed.python("import moon; print('ok')") == "ok"


def test_a_name_that_is_made_at_first_use_is_missed_as_well(installed: Installed) -> None:
    code = "import importlib\ndef __dir__():\n    return ['part']\ndef __getattr__(name):\n    if name == 'part':\n"
    code += "        return importlib.import_module('sky.' + 'stset'[::-1])\n    raise AttributeError(name)\n"
    installed.add("sky", {**with_tests("sky"), "sky/__init__.py": code})
    assert installed.clean().returncode == 0
    assert installed.python("import sky; print(sky.part.__name__)") == "sky.tests"


def test_a_module_that_never_imported_is_told_and_ends_nothing(installed: Installed) -> None:
    installed.add("optional", {"optional.py": "import nowhere_to_be_found\n", "leaves.py": "import os\nos._exit(3)\n"})
    done = installed.clean()
    assert done.returncode == 0
    assert "note: optional cannot be imported in this image: ModuleNotFoundError" in done.stdout
    assert "note: leaves cannot be imported in this image: Python ended with code 3" in done.stdout


def test_the_same_tree_gives_the_same_tree(installed: Installed, tmp_path: Path) -> None:
    other = Installed(tmp_path / "other")
    for each in (installed, other):
        each.add("sky", {**with_tests("sky"), "sky/__init__.py": ""}).add("sun", {"sun.py": "import sky\n"})
        assert each.clean().returncode == 0
    assert listed(installed) == listed(other)


def listed(each: Installed) -> dict[str, bytes]:
    return {str(path.relative_to(each.tree)): path.read_bytes() for path in each.tree.rglob("*") if path.is_file()}
