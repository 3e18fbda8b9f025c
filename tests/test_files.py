"""Files appear whole or not at all, tables are checked, one run at a time."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.errors import UserError
from kdasr.files import (
    atomic_dir,
    atomic_write,
    only_writer,
    read_json,
    read_lines,
    read_table,
    read_yaml,
    write_json,
    write_table,
)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as stream:
        stream.write("new")
        1 / 0
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_one_sentence(tmp_path):
    import errno

    with pytest.raises(UserError, match=r"a: cannot be written .*free some room"), atomic_write(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_directory_leaves_the_old_one(tmp_path):
    path = tmp_path / "d"
    with atomic_dir(path) as fresh:
        (fresh / "x").write_text("1")
    with pytest.raises(ZeroDivisionError), atomic_dir(path) as fresh:
        1 / 0
    assert (path / "x").read_text() == "1"
    with atomic_dir(path) as fresh:
        (fresh / "y").write_text("2")
    assert [p.name for p in path.iterdir()] == ["y"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_second_writer_is_refused_and_a_killed_one_forgotten(tmp_path):
    code = (
        "from kdasr.files import only_writer\nimport time\n"
        f"with only_writer({str(tmp_path)!r}):\n print(1, flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    other.stdout.readline()
    with pytest.raises(UserError, match="another run is writing here"), only_writer(tmp_path):
        pass
    other.kill()
    other.wait()
    with only_writer(tmp_path):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a 1\na 2\n", r"t:2: a stands here a second time"),
        ("a 1\nb\n", r"t:2: expected 'KEY VALUE'"),
        ("a 1\n\n", r"t:2: expected"),
        (b"a \xff\n", r"t:1: not UTF-8"),
    ],
)
def test_bad_tables_are_named(tmp_path, content, message):
    (tmp_path / "t").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        read_table(tmp_path / "t")


def test_absent_table_names_the_remedy(tmp_path):
    with pytest.raises(UserError, match="run the stage that writes it first"):
        read_table(tmp_path / "none")


word = st.text(st.characters(blacklist_categories=("Cs", "Zs", "Zl", "Zp", "Cc")), min_size=1, max_size=8)


@given(st.dictionaries(word, st.lists(word, min_size=1, max_size=3).map(" ".join), max_size=8))
def test_tables_come_back(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("t") / "t"
    write_table(path, table)
    assert read_table(path) == table
    keys = [line.split(" ")[0].encode() for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    assert keys == sorted(keys)


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "j", {"é": [1, None]})
    assert read_json(tmp_path / "j") == {"é": [1, None]}
    (tmp_path / "j").write_text("{")
    with pytest.raises(UserError, match=r"j:1: not JSON"):
        read_json(tmp_path / "j")


def test_what_has_no_end_is_not_read(tmp_path):
    """Devices, pipes that nobody writes to, files larger than any memory: at once, and in a sentence."""
    with pytest.raises(UserError, match=r"/dev/zero: is a device, which may have no end"):
        read_lines("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    assert read_lines(tmp_path / "pipe") == []
    with open(tmp_path / "sparse", "wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UserError, match=r"sparse: has 1024 GiB, more than any text here"):
        read_lines(tmp_path / "sparse")


def test_a_lock_is_a_plain_file(tmp_path):
    (tmp_path / "elsewhere").write_text("text")
    for number, make in enumerate((os.mkfifo, os.mkdir, lambda path: path.symlink_to(tmp_path / "elsewhere"))):
        directory = tmp_path / str(number)
        directory.mkdir()
        make(directory / ".lock")
        with (
            pytest.raises(UserError, match=r"\.lock: is no plain file, as a lock is; remove it"),
            only_writer(directory),
        ):
            pass
    assert (tmp_path / "elsewhere").read_text() == "text"


def test_a_directory_behind_a_link_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/old").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_dir(tmp_path / "link") as fresh:
        (fresh / "new").touch()
    assert (tmp_path / "link").is_symlink() and [path.name for path in (tmp_path / "real").iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_devices_and_directories_are_not_replaced(tmp_path):
    (tmp_path / "dir").mkdir()
    for path in ("/dev/null", tmp_path / "dir"):
        with pytest.raises(UserError, match="is no ordinary file, and is not replaced by one"), atomic_write(path):
            pass
    with pytest.raises(UserError, match="cannot be replaced by a directory"), atomic_dir("/dev/null"):
        pass


def test_yaml_is_plain_and_flat(tmp_path):
    path = tmp_path / "c.yaml"
    for text, said in (
        ("a: !!python/object/apply:os.system [x]\n", r"c\.yaml:1: is not YAML \("),
        ("a: 1\nb: [1,\n", r"c\.yaml:3: is not YAML"),
        ("[" * 100_000, r"c\.yaml: is nested too deeply"),
        ("- " * 100_000, r"c\.yaml: is nested too deeply"),
        ("a: 2021-99-99\n", r"c\.yaml: is not YAML"),
        ("- a\n", "expected lines `name: value`"),
        ("1: a\n", "expected lines `name: value`"),
        ("a: \0\n", r"c\.yaml:1: holds a NUL byte"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read_yaml(path)
    path.write_text("token_list: ['[', '{', ']', 'a']\nb: {c: [1, 2.5, null]}\n")
    assert read_yaml(path) == {"token_list": ["[", "{", "]", "a"], "b": {"c": [1, 2.5, None]}}
    path.write_text("")
    assert read_yaml(path) == {}
