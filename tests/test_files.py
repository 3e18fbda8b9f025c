"""Files appear whole or not at all, tables are checked, one run at a time."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.errors import UserError
from kdasr.files import (
    atomic_dir,
    atomic_write,
    columns,
    only_writer,
    read_json,
    read_lines,
    read_numbers,
    read_table,
    read_yaml,
    split_key,
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
        ("a 1\na 2\n", r"t:2: a is here a second time"),
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
    with pytest.raises(UserError, match=r"/dev/zero: is a device, not a file"):
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
            pytest.raises(UserError, match=r"\.lock: is no plain file; a lock is to be written there: remove it"),
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
        with pytest.raises(UserError, match="is no ordinary file; name another place"), atomic_write(path):
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


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o027, 0o000])
def test_files_are_as_open_as_the_umask_says(tmp_path, mask):
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / "f"), atomic_dir(tmp_path / "d") as fresh:
            (fresh / "x").touch()
        assert os.umask(mask) == mask  # it is still what it was
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o666 & ~mask
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o777 & ~mask


@pytest.mark.parametrize(("mode", "content"), [("w", "né\n"), ("wb", b"\0\r\n")])
def test_what_is_renamed_is_on_the_disk_already(tmp_path, monkeypatch, mode, content):
    """A power cut behind the rename would leave an empty file otherwise."""
    told, fsync, replace = [], os.fsync, os.replace

    def noted_fsync(handle):
        told.append(("fsync", os.fstat(handle).st_ino, os.fstat(handle).st_size))
        fsync(handle)

    def noted_replace(source, target):
        told.append(("replace", Path(source).stat().st_ino, Path(source).stat().st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    with atomic_write(tmp_path / "f", mode) as stream:
        stream.write(content)
    data = content if mode == "wb" else content.encode()
    inode = (tmp_path / "f").stat().st_ino
    assert told == [("fsync", inode, len(data)), ("replace", inode, len(data))]
    assert (tmp_path / "f").read_bytes() == data


def test_tables_stand_in_the_order_of_bytes(tmp_path):
    keys = ["Z", "a", "B", "b-1", "b", "b1", "é", "\uffff", "\U00010000", "_", "10", "2"]
    for rows in ({key: "x" for key in keys}, [(key, "x") for key in reversed(keys)]):
        write_table(tmp_path / "t", rows)
        lines = (tmp_path / "t").read_bytes().splitlines(keepends=True)
        assert lines == sorted(f"{key} x\n".encode() for key in keys)
        assert list(read_table(tmp_path / "t")) == sorted(keys, key=str.encode)
    write_table(tmp_path / "t", {"b": "", "a": " two  words "})
    assert (tmp_path / "t").read_text() == "a  two  words\nb\n"
    assert read_table(tmp_path / "t", empty=True) == {"a": "two  words", "b": ""}


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u2003", "\x85", "\u2028", "\x1c"])
def test_other_white_space_is_part_of_words(tmp_path, space):
    assert split_key(f" \tk{space}x \t v{space} w\r") == (f"k{space}x", f"v{space} w")
    assert split_key(f"{space} v") == (space, "v")
    assert columns(f" a{space}b\tc\v{space}\fd\r\n") == [f"a{space}b", "c", space, "d"]
    (tmp_path / "t").write_bytes(f"k{space}x v{space}\nl w\n".encode())
    assert read_table(tmp_path / "t") == {f"k{space}x": f"v{space}", "l": "w"}


def test_keys_without_a_value():
    assert split_key("") == split_key(" \t") == ("", "")
    assert split_key("k") == split_key(" k ") == ("k", "")
    assert columns("") == columns(" \t\r\v\f\n") == []


@pytest.mark.parametrize("value", ["0", "0.0", "-0", "1e-9", "12", "3.5", "1e300"])
def test_numbers_of_a_table(tmp_path, value):
    (tmp_path / "n").write_text(f"a 1\nb {value}\n")
    assert read_numbers(tmp_path / "n") == {"a": 1.0, "b": float(value)}


@pytest.mark.parametrize("value", ["-1e-9", "-1", "nan", "inf", "-inf", "x", "1 2", "1e999", "0x1"])
def test_what_is_no_number_of_a_table(tmp_path, value):
    (tmp_path / "n").write_text(f"a 1\nb {value}\n")
    with pytest.raises(UserError, match=r"n: b has '.*', expected a number, 0 or more"):
        read_numbers(tmp_path / "n")


def test_a_second_writer_waits_as_long_as_it_is_told(tmp_path):
    taken, release, order = threading.Event(), threading.Event(), []

    def first():
        with only_writer(tmp_path, name=".x.lock"):
            taken.set()
            release.wait(60)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert taken.wait(60)
    for wait in (0.0, 0.1):
        with pytest.raises(UserError, match="another run is writing here"), only_writer(tmp_path, ".x.lock", wait):
            pass
    with only_writer(tmp_path, ".y.lock"):  # another lock
        pass
    threading.Timer(0.2, release.set).start()
    with only_writer(tmp_path, name=".x.lock", wait=60):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []), (b"\n", [""]), (b"a", ["a"]), (b"a\n", ["a"]), (b"a\n\n", ["a", ""]), (b"a\n \n", ["a", " "]),
        (b"a\n ", ["a", " "]),
        (b"a\r\nb\r\n", ["a", "b"]), (b"a\r\nb\r", ["a", "b"]), (b"a\r\r\n", ["a\r"]), (b"a\rb\n", ["a\rb"]),
        (b"\xef\xbb\xbfa\n", ["a"]), (b"a\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]), (b" a \t\n", [" a \t"]),
        ("a\u2028b\x85c\x0bd\n".encode(), ["a\u2028b\x85c\x0bd"]),
    ],
)  # fmt: skip
def test_lines_end_where_unix_and_dos_end_them(tmp_path, data, lines):
    (tmp_path / "t").write_bytes(data)
    assert read_lines(tmp_path / "t") == lines


def test_json_is_readable_text(tmp_path):
    write_json(tmp_path / "j", {"é": [1, {"ß": "日"}], "a": None})
    text = (tmp_path / "j").read_bytes().decode()
    assert text == '{\n  "é": [\n    1,\n    {\n      "ß": "日"\n    }\n  ],\n  "a": null\n}\n'
    assert list(json.loads(text)) == ["é", "a"]  # in the order given
    for wrong in ("[1]", "3", '"a"', "null"):
        (tmp_path / "j").write_text(wrong)
        with pytest.raises(UserError, match=r"j:1: expected a JSON object"):
            read_json(tmp_path / "j")


@pytest.mark.parametrize("opened", ["[", "{a: ", "- ", "? "])
def test_how_deep_yaml_may_be(tmp_path, opened):
    for depth, deep in ((99, False), (100, False), (101, True)):
        close = {"[": "]", "{a: ": "}"}.get(opened, "")
        inner = opened * (depth - 1 if opened in "[{a: " else depth)  # within the mapping's own brackets, or not
        text = "{x: " + inner + "1" + close * (depth - 1) + "}\n" if close else inner + "1\n"
        (tmp_path / "c.yaml").write_text(text)
        try:
            read_yaml(tmp_path / "c.yaml")
            said = ""
        except UserError as error:
            said = str(error)
        assert ("is nested too deeply" in said) == deep, (depth, said)


def test_directories_are_replaced_whole_and_only_at_the_end(tmp_path):
    path = tmp_path / "d"
    with atomic_dir(path) as fresh:
        (fresh / "x").write_text("1")
        assert not path.exists()
    with atomic_dir(path) as fresh:
        (fresh / "y").write_text("2")
        assert [p.name for p in path.iterdir()] == ["x"] and fresh.parent == tmp_path
    assert [p.name for p in path.iterdir()] == ["y"] and [p.name for p in tmp_path.iterdir()] == ["d"]
