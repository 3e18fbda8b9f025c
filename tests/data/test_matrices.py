"""Features of an utterance by its entry in feats.scp: what is there, and what is refused by the utterance's name."""

import hashlib
import pickle

import kaldiio
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.data.matrices import check_archives, check_heads, read_matrix, write_ark
from kdasr.data.places import ENDS_LATE, parse, parse_table
from kdasr.errors import UserError
from kdasr.files import write_table


def test_what_was_saved_is_read(tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    kaldiio.save_ark(str(tmp_path / "feats.ark"), {"a": x, "b": x[:0]}, scp=str(tmp_path / "feats.scp"))
    places = dict(line.split() for line in (tmp_path / "feats.scp").read_text().splitlines())
    np.testing.assert_array_equal(read_matrix("a", places["a"]), x)
    assert len(read_matrix("b", places["b"])) == 0


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros(8, np.float32), r"^u: .*\.ark:2 has the shape \(8,\)"),
        (np.array([[1.0, np.nan]], np.float32), r"^u: .* holds values that are not numbers"),
        (np.array([[1.0, -np.inf]], np.float32), r"^u: .* holds values that are not numbers"),
    ],
)
def test_other_shapes_and_values_are_refused(tmp_path, x, said):
    kaldiio.save_ark(str(tmp_path / "x.ark"), {"u": x})
    with pytest.raises(UserError, match=said):
        read_matrix("u", f"{tmp_path / 'x.ark'}:2")


def test_what_is_no_archive_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^u: .*none\.ark: no such file"):
        read_matrix("u", f"{tmp_path / 'none.ark'}:2")
    kaldiio.save_ark(str(tmp_path / "x.ark"), {"u": np.zeros((9, 4), np.float32)})
    (tmp_path / "cut.ark").write_bytes((tmp_path / "x.ark").read_bytes()[:40])
    with pytest.raises(UserError, match=r"^u: .* cannot be read .*make the features again"):
        read_matrix("u", f"{tmp_path / 'cut.ark'}:2")
    soundfile.write(tmp_path / "one.wav", np.zeros(800, dtype=np.int16), 8000, subtype="PCM_16")
    with pytest.raises(UserError, match=r"^u: .*one\.wav is audio where features are taken"):
        read_matrix("u", str(tmp_path / "one.wav"))


# --------------------------------------------------------------------------------------------------- kinds and ranges

# kaldiio's number of a method of compression, or a type: bytes of a matrix (rows, columns) in the archive
KINDS = {
    np.float32: lambda rows, columns: 4 * rows * columns,
    np.float64: lambda rows, columns: 8 * rows * columns,
    2: lambda rows, columns: rows * columns + 8 * columns,
    3: lambda rows, columns: 2 * rows * columns,
    5: lambda rows, columns: rows * columns,
}


def saved(path, x, kind):
    options = {"compression_method": kind} if isinstance(kind, int) else {}
    kaldiio.save_ark(str(path), {"u": x if options else x.astype(kind)}, **options)
    return f"{path}:2"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 7), (40, 23)])
def test_every_kind_is_read_as_kaldiio_reads_it_or_not_at_all(tmp_path, kind, shape):
    x = np.random.default_rng(0).normal(size=shape)
    entry = saved(tmp_path / "x.ark", x, kind)
    expected, data = kaldiio.load_mat(entry), (tmp_path / "x.ark").read_bytes()
    np.testing.assert_array_equal(read_matrix("u", entry), expected)
    places = {"u": parse(entry, "u")}
    check_heads(places, "make it again")
    size = KINDS[kind](*shape)
    for lacking in {1, size // 2, size - 1} - {0}:
        (tmp_path / "x.ark").write_bytes(data[:-lacking])
        # of the bytes behind the header's begin; what is there is a little more than the matrix, as the header counts
        with pytest.raises(UserError, match=r"^u: .*x\.ark:2 cannot be read"):
            read_matrix("u", entry)
    (tmp_path / "x.ark").write_bytes(data[: len(data) - size])
    for call in (lambda: read_matrix("u", entry, "do X"), lambda: check_heads(places, "do X")):
        if size > 30:
            with pytest.raises(UserError, match=rf"cut short, as its header promises {size:,} bytes\); do X"):
                call()


@examples(200)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    *[st.integers(0, 7)] * 4,
    st.sampled_from(["{0}:{1}", "{0}:{1},{2}:{3}", ",{2}:{3}", ":,{2}:{3}", "{0}", "{0}:{1},:", "{0}:{1},{2}"]),
)
def test_ranges_have_their_ends_in_them(tmp_path_factory, rows, columns, a, b, c, d, form):
    path = tmp_path_factory.mktemp("r") / "x.ark"
    x = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    entry = saved(path, x, np.float32) + "[" + form.format(a, b, c, d) + "]"
    first, last = (None, None) if "{0}" not in form else (a, b if "{1}" in form else a)
    left, right = (None, None) if "{2}" not in form else (c, d if "{3}" in form else c)
    pairs = [(first, last, rows), (left, right, columns)]
    falls = any(start is not None and end < start for start, end, _ in pairs)
    outside = any(start is not None and (start >= n or end > n - 1 + ENDS_LATE) for start, end, n in pairs)
    if falls:
        with pytest.raises(UserError, match="is no range of rows"):
            read_matrix("u", entry)
    elif outside:
        with pytest.raises(UserError, match=r"of them are asked for; correct the list"):
            read_matrix("u", entry)
    else:
        cut = [slice(None) if start is None else slice(start, end + 1) for start, end, _ in pairs]
        np.testing.assert_array_equal(read_matrix("u", entry), x[tuple(cut)])


def test_one_bad_value_is_enough(tmp_path):
    x = np.ones((4, 3), np.float32)
    for value in (np.nan, np.inf, -np.inf):
        x[2, 1] = value
        entry = saved(tmp_path / "x.ark", x, np.float32)
        with pytest.raises(UserError, match="holds values that are not numbers; do X"):
            read_matrix("u", entry, "do X")
        np.testing.assert_array_equal(read_matrix("u", entry, finite=False), x)
        read_matrix("u", f"{entry}[0:1]")  # what is not asked for does not matter


# ---------------------------------------------------------------------------------------------------------- checksums


def archive(path, names, listed=None):
    """An archive that kdasr wrote, of a row a matrix, and its list under another name if that is asked for."""
    with write_ark(path) as ark:
        for number, name in enumerate(names):
            ark.add(name, np.full((2, 3), number, np.float32))
    if listed:
        write_table(listed, ark.places)
    return ark.places


def checked(entries):
    check_archives(parse_table(entries, "list"), "do X")


def test_an_archive_has_its_checksum_and_names_its_final_place(tmp_path):
    with write_ark(tmp_path / "a.ark", tmp_path / "elsewhere" / "a.ark") as ark:
        ark.add("u", np.ones((2, 3), np.float32))
        ark.add("v", np.zeros((1, 3), np.float32), 3)
    assert ark.places == {"u": f"{tmp_path}/elsewhere/a.ark:2", "v": f"{tmp_path}/elsewhere/a.ark:43"}
    digest = hashlib.sha256((tmp_path / "a.ark").read_bytes()).hexdigest()
    assert (tmp_path / "a.sha256").read_text() == f"{digest}  a.ark\n"
    for name, entry in ark.places.items():
        found = read_matrix(name, entry.replace("elsewhere/", ""))
        np.testing.assert_array_equal(found, np.ones((2, 3)) if name == "u" else np.zeros((1, 3)))


@pytest.mark.parametrize("listed", [True, False])
def test_a_place_is_its_utterances(tmp_path, listed):
    """Every place of every archive; of features also under a name with a prefix or suffix."""
    path = tmp_path / ("feats.0.ark" if listed else "soft.ark")
    places = archive(path, ["a1", "b22", "c333"], tmp_path / "feats.0.scp" if listed else None)
    checked(places)
    checked({"c333": places["c333"]})
    for name, entry in places.items():
        for other in places:
            if other != name:
                with pytest.raises(UserError, match=rf"^{other}: its matrix is looked for at .*, which is another's"):
                    checked({**places, other: entry})
        for shift in (-1, 1):
            offset = int(entry.rpartition(":")[2]) + shift
            with pytest.raises(UserError, match=rf"^{name}: its matrix is looked for .*; do X"):
                checked({**places, name: f"{path}:{offset}"})
    renamed = {f"sp-{name}-x": entry for name, entry in places.items()}
    if listed:
        checked(renamed)
    else:
        with pytest.raises(UserError, match="is another's"):
            checked(renamed)


@pytest.mark.parametrize("listed", [True, False])
def test_any_change_of_any_archive_is_found(tmp_path, listed):
    paths = [tmp_path / "feats.0.ark", tmp_path / "feats.1.ark"]
    both = {}
    for number, path in enumerate(paths):
        both |= archive(path, [f"u{number}", f"v{number}"], path.with_suffix(".scp") if listed else None)
    for path in paths:
        whole = path.read_bytes()
        for changed in (whole[:-1], whole + b"x", whole[:9] + bytes([whole[9] ^ 64]) + whole[10:], b""):
            path.write_bytes(changed)
            with pytest.raises(UserError, match=rf"^{path}: was changed after it was written .*; do X"):
                checked(both)
        path.unlink()
        with pytest.raises(UserError, match=rf"^{path}: cannot be read \(No such file.*; do X"):
            checked(both)
        path.write_bytes(whole)
        checksum = path.with_suffix(".sha256").read_text()
        for text in (checksum.replace(path.name, "other.ark"), checksum.split()[0] + "\n", ""):
            path.with_suffix(".sha256").write_text(text)
            with pytest.raises(UserError, match=r"\.sha256: is not the checksum of .*; do X"):
                checked(both)
        path.with_suffix(".sha256").write_text(checksum)
        checked(both)
    path.with_suffix(".sha256").unlink()  # as of somebody else's
    path.write_bytes(b"")
    checked(both)


def test_heads_are_looked_at_where_they_stand(tmp_path):
    """Of several matrices in one file, and of files of one."""
    good = np.ones((2, 3), np.float32)
    kaldiio.save_ark(str(tmp_path / "x.ark"), {"a": good, "b": good, "c": good}, scp=str(tmp_path / "x.scp"))
    entries = dict(line.split() for line in (tmp_path / "x.scp").read_text().splitlines())
    check_heads(parse_table(entries, "x.scp"), "do X")
    data = bytearray((tmp_path / "x.ark").read_bytes())
    for name in ("a", "c"):
        offset = int(entries[name].rpartition(":")[2])
        for head, said in (
            (b"PKL" + pickle.dumps([1])[:9], "is a pickled object, which could run a program"),
            (b"RIFF....WAVE", "is audio where features are taken"),
            (b"fLaC", "is audio where features are taken"),
            (b"NIST", "is audio"),
            (b"AUDI", "is audio"),
            (b"\0BXX ", r"cannot be read \(it is no Kaldi matrix\)"),
            (b"junk", r"cannot be read \(it is no Kaldi matrix\)"),
        ):
            bad = data[:offset] + head + data[offset + len(head) :]
            (tmp_path / "x.ark").write_bytes(bad)
            with pytest.raises(UserError, match=rf"^{name}: .*x\.ark:{offset} {said}"):
                check_heads(parse_table(entries, "x.scp"), "do X")
    (tmp_path / "alone").write_bytes(data[2:])
    check_heads({"u": parse(str(tmp_path / "alone"), "u")}, "do X")


@pytest.mark.parametrize("rows", [1, 5])
def test_a_range_may_end_a_little_late(tmp_path, rows):
    x = np.arange(2.0 * rows, dtype=np.float32).reshape(rows, 2)
    entry = saved(tmp_path / "x.ark", x, np.float32)
    for first in range(rows):
        for last in range(rows - 1, rows + ENDS_LATE):
            np.testing.assert_array_equal(read_matrix("u", f"{entry}[{first}:{last}]"), x[first:])
    for wrong in (f"0:{rows + ENDS_LATE}", f"{rows}:{rows}", f"{rows}:{rows + 1}"):
        with pytest.raises(
            UserError, match=rf"^u: .* has {rows}, and \[{wrong}\] of them are asked for; correct the list"
        ):
            read_matrix("u", f"{entry}[{wrong}]")
