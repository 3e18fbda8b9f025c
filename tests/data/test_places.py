"""Entries of wav.scp, feats.scp and their like: files, places in archives, and commands, which are not run."""

import os
import subprocess

import numpy as np
import pytest
import soundfile

from kdasr.data.audio import read_audio
from kdasr.data.matrices import read_matrix, write_ark
from kdasr.data.places import RUN_COMMANDS, Place, opened, parse, parse_table
from kdasr.errors import UserError


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ("/a/b.wav", Place("/a/b.wav")),
        ("x.ark:52", Place("x.ark", 52)),
        ("a b.ark:52", Place("a b.ark", 52)),
        ("x.ark:52[0:9]", Place("x.ark", 52, ((0, 9),))),
        ("x.ark:52[3]", Place("x.ark", 52, ((3, 3),))),
        ("x.ark:52[,1:2]", Place("x.ark", 52, (None, (1, 2)))),
        ("x.ark:52[:,1:2]", Place("x.ark", 52, (None, (1, 2)))),
        ("a|b.wav", Place("a|b.wav")),
        ("x.ark:-5", Place("x.ark:-5")),
        ("flac -c -d -s /a/b.flac |", Place("/a/b.flac")),
        ("/usr/bin/flac -s -cd /a/b.flac|", Place("/a/b.flac")),
        ("flac --decode --stdout --silent b.flac |", Place("b.flac")),
        ("sph2pipe -f wav a.sph |", Place("a.sph")),
        ("/x/sph2pipe -f wav -p -c 2 a.sph |", Place("a.sph", channel=2)),
        ("sox a.wav -t wav - |", Place("a.wav")),
        ("sox -t flac a.x -b 16 -e signed-integer -t wav - |", Place("a.x")),
        ("sox a.wav -t wav - remix 2 |", Place("a.wav", channel=2)),
        ("cat a.wav |", Place("a.wav")),
        ("cat 'a b.wav' |", Place("a b.wav")),
        (r"cat a\ b.wav |", Place("a b.wav")),
    ],
)
def test_what_an_entry_means(entry, place):
    assert parse(entry, "wav.scp: u") == place


@pytest.mark.parametrize(
    "entry",
    [
        "touch {marker} |",
        "| touch {marker}",
        " |touch {marker}",
        "touch {marker} |[0:3]",
        "touch {marker} | [0:3,0:2]",
        "touch {marker} |:7",
        "touch {marker} |:7[0:3]",
        "touch {marker} |[0:3]:7",
        "touch {marker} |[0:3][0:3]",
        "touch {marker} |+7",
        "touch {marker} |:١",  # a digit for Python's int(), too
        "touch {marker} |\u00a0",
        "cat x; touch {marker} |",
        "cat x & touch {marker} |",
        "cat x | touch {marker} |",
        "cat x > {marker} |",
        "cat <(touch {marker}) |",
        "cat $(touch {marker}) |",
        'cat "$(touch {marker})" |',
        "cat `touch {marker}` |",
        "flac -c -d -s x --output-name={marker} |",
        "flac -d -s x -o {marker} |",
        "sph2pipe -f wav x {marker} |",
        "sox x -r 8000 -t wav - |",
        "sox x -t wav {marker} |",
        "cat x y |",
        "cat -n |",
        "cat ~/x |",
        "cat *.wav |",
        "ffmpeg -i x -f wav - |",
    ],
)
def test_commands_are_refused_before_anything_runs(entry, tmp_path):
    marker = tmp_path / "marker"
    with pytest.raises(UserError, match=rf"wav\.scp: u is a command \(.*{RUN_COMMANDS}=1$") as error:
        parse_table({"u": entry.format(marker=marker)}, "wav.scp")
    assert not marker.exists() and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("-", "u is '-', and nothing is read from standard input here"),
        ("~/a.wav", r"u has a path with '~', .*; write /\S+/a\.wav"),
        ("x.ark:5[9:3]", r"u has \[9:3\], which is no range of rows"),
        ("x.ark:5[1:2,3:4,5:6]", "which is no range of rows"),
    ],
)
def test_entries_that_are_none(entry, message):
    with pytest.raises(UserError, match=message):
        parse(entry, "wav.scp: u")


def test_entries_come_back_as_kaldiio_reads_them(tmp_path):
    x = np.arange(60, dtype=np.float32).reshape(10, 6)
    with write_ark(tmp_path / "x.ark") as ark:
        ark.add("u", x)
    for cut, rows in (("", x), ("[2:4]", x[2:5]), ("[2:4,0:1]", x[2:5, :2]), ("[,5]", x[:, 5:]), ("[8:11]", x[8:])):
        place = parse(ark.places["u"] + cut, "u")
        np.testing.assert_array_equal(read_matrix("u", place), rows)
        np.testing.assert_array_equal(read_matrix("u", place.entry()), rows)
    for cut in ("[10:11]", "[5:13]", "[,6]"):  # Kaldi lets a range end two rows late
        with pytest.raises(UserError, match=r"u: .* has \d+, and \[\d+:\d+\] of them are asked for"):
            read_matrix("u", ark.places["u"] + cut)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path, "/dev/zero", "/dev/null"):
        with pytest.raises(UserError, match=r"u: .*cannot be read \(it is no file\)"), opened(Place(str(place)), "u"):
            pass
    with pytest.raises(UserError, match="a name that no file can have"), opened(Place("a\0b"), "u"):
        pass


def test_commands_run_where_they_are_allowed(tmp_path, monkeypatch):
    wave = (np.random.default_rng(0).standard_normal(4000) * 3000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="PCM_16")
    with write_ark(tmp_path / "x.ark") as ark:
        ark.add("u", np.ones((3, 2), np.float32))
    monkeypatch.setenv(RUN_COMMANDS, "1")
    samples, rate = read_audio(parse(f"cat {tmp_path}/a.wav | cat |", "u"), "u")
    np.testing.assert_array_equal(samples, wave)
    assert rate == 16000
    np.testing.assert_array_equal(read_matrix("u", f"tail -c +3 {tmp_path}/x.ark | cat |"), np.ones((3, 2)))
    with pytest.raises(UserError, match=r"u: its command ended with status 3 \(broken\); run it by hand: "):
        read_audio(parse("echo broken >&2; exit 3 |", "u"), "u")
    with pytest.raises(UserError, match="cut pieces out in the command itself"):
        parse("seq 5 |[0:2]", "u")


@pytest.mark.needs("sox")
def test_sox_decodes_what_we_read(tmp_path):
    """The forms that are read here give what the program itself writes."""
    two = (np.random.default_rng(0).standard_normal((4000, 2)) * 3000).astype(np.int16)
    for form in ("wav", "flac", "aiff"):
        soundfile.write(tmp_path / f"two.{form}", two, 16000, subtype="PCM_16")
        for channel in (1, 2):
            command = ["sox", f"{tmp_path}/two.{form}", "-t", "wav", "-", "remix", str(channel)]
            (tmp_path / "out.wav").write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
            samples, rate = read_audio(parse(" ".join(command) + " |", "u"), "u")
            np.testing.assert_array_equal(samples, two[:, channel - 1])
            np.testing.assert_array_equal(samples, read_audio(tmp_path / "out.wav")[0])
            assert rate == 16000


FORMS = ["-f wav", "-f rif", "-fwav", "-frif", ""]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("channel", "number"), [("-c 1", 1), ("-c 2", 2), ("-c1", 1), ("-c2", 2), ("", None)])
@pytest.mark.parametrize("first", [True, False])
def test_every_way_to_call_sph2pipe(form, channel, number, first):
    words = [form, "-p", channel] if first else [channel, form]
    assert parse(f"sph2pipe {' '.join(words)} a.sph |", "u") == Place("a.sph", channel=number)
    assert parse(f"sph2pipe a.sph {' '.join(words)} |", "u") == Place("a.sph", channel=number)


@pytest.mark.parametrize("number", [1, 2, 3, 10])
def test_sox_takes_one_channel(number):
    for words in (f"a.wav -t wav - remix {number}", f"-q -t wav a.wav -b 16 -t wav - remix {number}"):
        assert parse(f"sox {words} |", "u") == Place("a.wav", channel=number)


@pytest.mark.parametrize(
    "command",
    [
        *(f"sox a.wav -t wav - {effect}" for effect in (
            "speed 1.1", "rate 8000", "vol 2", "remix 0", "remix 1,2", "remix 1 2", "remix -", "trim 0 1", "remix",
            "dither", "channels 1", "remix 1 speed 2", "gain 3")),
        "sox -v 2 a.wav -t wav -", "sox a.wav -t raw -", "sox a.wav b.wav -t wav -", "sox a.wav -t wav",
        "sox - -t wav -",
        "sox a.wav -c 1 -t wav -", "sox a.wav -b 8 -t wav -",
        *(f"sph2pipe {words} a.sph" for words in (
            "-f raw", "-f au", "-c 3", "-c3", "-u", "-t 1:2", "-s 1:9", "-a", "-f wav -c 0")),
        "sph2pipe -f wav a.sph b.sph", "sph2pipe -c 1", "flac -c a.flac", "flac -d a.flac", "flac -cds a.flac b.flac",
        "flac -cd --skip=5 a.flac", "flac -cdt a.flac", "cat", "cat -", "dog a.wav",
    ],
)  # fmt: skip
def test_what_is_more_than_decoding_is_a_command(command):
    with pytest.raises(UserError, match="u is a command"):
        parse(f"{command} |", "u")
