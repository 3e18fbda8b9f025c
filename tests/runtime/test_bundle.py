"""Bundles that were cut, changed, or made by somebody who means harm: one sentence, the file, what to do."""

import json
import shutil
import sys
import zipfile

import numpy as np
import onnx
import pytest
from bundles import export, kdasr, rewrite, speech, write_model
from onnx import numpy_helper

from kdasr.errors import UserError
from kdasr.runtime.bundle import is_bundle, read_bundle, seal
from kdasr.runtime.recognizer import Recognizer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    export(write_model(root / "m"), root / "b", "--zip")
    return root


@pytest.fixture
def bundle(made, tmp_path):
    shutil.copytree(made / "b", tmp_path / "b")
    return tmp_path / "b"


def refused(path, *said):
    with pytest.raises(UserError) as error:
        Recognizer(path).transcribe(speech(0.5), 16000)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message, message
    assert all(words in message for words in said), message


def test_a_directory_and_its_zip_are_the_same(made):
    one, two = (read_bundle(made / name) for name in ("b", "b.zip"))
    assert (
        one.sums == two.sums and one.spelling == two.spelling and one.file("encoder.onnx") == two.file("encoder.onnx")
    )
    assert is_bundle(made / "b") and is_bundle(made / "b.zip") and not is_bundle(made / "m")
    assert Recognizer(made / "b").transcribe(speech(1), 16000) == Recognizer(made / "b.zip").transcribe(
        speech(1), 16000
    )


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "tokens.txt"])
def test_a_flipped_bit_is_noticed(bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    refused(bundle, f"{name} is not as it was exported (its sha256 is another); copy it again, or export it again")


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "tokens.txt", "bundle.json"])
def test_a_file_that_lacks_is_named(bundle, name):
    (bundle / name).unlink()
    if name == "bundle.json":
        with pytest.raises(UserError, match=str(bundle)):  # then it is taken for a model's directory
            Recognizer(bundle)
    else:
        refused(bundle, f"has no {name}")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 0.999])
def test_a_cut_zip(made, tmp_path, share):
    data = (made / "b.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: int(share * len(data))])
    refused(tmp_path / "cut.zip", "is no bundle, or was cut")


def test_a_zip_with_a_changed_byte(made, tmp_path):
    data = bytearray((made / "b.zip").read_bytes())
    with zipfile.ZipFile(made / "b.zip") as archive:
        place = archive.getinfo("encoder.onnx").header_offset + 200
    data[place] ^= 0x40
    (tmp_path / "x.zip").write_bytes(data)
    refused(tmp_path / "x.zip", "is no bundle, or was cut")


@pytest.mark.parametrize("changes, said", [
    ({"format": 2}, "is a bundle of format 2, written by kdasr"),
    ({"format": None}, "is a bundle of format None"),
    ({"tokens": {}}, "bundle.json is damaged (KeyError: 'blank')"),
    ({"sample_rate": "fast"}, "bundle.json is damaged"),
    ({"networks": {}}, "bundle.json is damaged (ValueError: no network)"),
    ({"networks": {"fp32": {"encoder": "../m/valid.acc.ave.pth"}}}, "names '../m/valid.acc.ave.pth', which is no file"),
    ({"networks": {"fp32": {"encoder": "/etc/passwd"}}}, "names '/etc/passwd', which is no file inside a bundle"),
    ({"networks": {"fp32": {"encoder": ["encoder.onnx"]}}}, "which is no file inside a bundle"),
    ({"networks": {"fp32": {"encoder": "tokens.txt"}}}, "cannot load tokens.txt"),
    ({"networks": {"fp32": {"encoder": "other.onnx"}}}, "has no other.onnx"),
    ({"search": {"beam": 0}}, "beam"),
    ({"search": {"bream": 5}}, "bundle.json is damaged (TypeError"),
    ({"features": {"kind": "mfcc", "bins": 13}, "input": "features"}, "features of kind 'mfcc'"),
])  # fmt: skip
def test_settings_that_cannot_be(bundle, changes, said):
    rewrite(bundle, **changes)
    if "search" in changes and "beam" in changes["search"]:
        with pytest.raises(UserError, match="beam"):
            Recognizer(bundle)
        return
    refused(bundle, said)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\x00", '{"format": 1}'])
def test_what_is_no_json(bundle, text):
    (bundle / "bundle.json").write_text(text)
    refused(bundle, "bundle.json", "copy it again")


@pytest.mark.parametrize("old, new", [('"beam": 5', '"beam": 4'), ('"bins": 24', '"bins": 25'), ("0.04", "0.05")])
def test_settings_that_were_edited(bundle, old, new):
    text = (bundle / "bundle.json").read_text()
    assert old in text
    (bundle / "bundle.json").write_text(text.replace(old, new, 1))
    refused(bundle, "bundle.json is not as it was exported (its sha256 is another)")


def test_ids_outside_the_list(bundle):
    settings = json.loads((bundle / "bundle.json").read_text())
    for name in ("blank", "sos", "eos"):
        for value in (-1, 18):
            rewrite(bundle, tokens=settings["tokens"] | {name: value})
            refused(bundle, "its tokens are others than its list")


def test_a_link_out_of_a_directory_has_no_checksum(bundle, tmp_path):
    (tmp_path / "secret").write_text("x")
    (bundle / "encoder.onnx").unlink()
    (bundle / "encoder.onnx").symlink_to(tmp_path / "secret")
    refused(bundle, "encoder.onnx is not as it was exported")


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "sub/evil", "C:\\evil", "..", ""])
def test_hostile_names_in_a_zip_write_nothing(made, tmp_path, name, monkeypatch):
    """A zip is never unpacked, so that its other members are nobody's business; as a network they are refused."""
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    with zipfile.ZipFile(made / "b.zip") as archive:
        files = {one: archive.read(one) for one in archive.namelist()}
    settings = json.loads(files["bundle.json"])
    for as_network in (False, True):
        if as_network:
            settings["networks"]["fp32"]["encoder"] = name
            settings["files"][name] = settings["files"]["encoder.onnx"]
            settings["sha256"] = seal(settings)
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            for one, data in (files | {"bundle.json": json.dumps(settings)}).items():
                archive.writestr(one, data)
            if name:
                archive.writestr(name, files["encoder.onnx"])
        if as_network:
            refused(tmp_path / "x.zip", f"names {name!r}, which is no file inside a bundle")
        else:
            assert Recognizer(tmp_path / "x.zip").transcribe(speech(0.5), 16000)
    assert {path.name for path in tmp_path.iterdir()} == {"inside", "x.zip"} and not list(inside.iterdir())


def test_a_bomb_is_not_unpacked(made, tmp_path):
    """What would be larger than any network is refused by its header."""
    shutil.copy(made / "b.zip", tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        info = archive.getinfo("bundle.json")
        info.file_size = 1 << 40  # the directory at the end is written again
        archive._didModify = True
    refused(tmp_path / "x.zip", "bundle.json")


def test_a_graph_that_reads_another_file_is_refused(bundle):
    """Weights outside a graph's file would be a way to read any file: they are given in memory, without a place."""
    model = onnx.load(bundle / "encoder.onnx")
    weight = next(one for one in model.graph.initializer if len(one.dims) > 1)
    for field in ("raw_data", "float_data"):
        weight.ClearField(field)
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", "64")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    (bundle / "encoder.onnx").write_bytes(model.SerializeToString())
    rewrite(bundle)
    refused(bundle, "cannot load encoder.onnx")


def test_a_network_of_nans_is_refused(bundle):
    graph = onnx.load(bundle / "encoder.onnx")
    for weight in graph.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            weight.CopyFrom(numpy_helper.from_array(np.full(list(weight.dims), np.nan, np.float32), weight.name))
    onnx.save(graph, bundle / "encoder.onnx")
    rewrite(bundle)
    refused(bundle, "gives values that are not numbers")


def test_nothing_there(tmp_path):
    with pytest.raises(
        UserError, match=r"none.zip: no such bundle; make one: kdasr export --model DIR --out .*none.zip"
    ):
        Recognizer(tmp_path / "none.zip")
    (tmp_path / "text").write_text("x")
    refused(tmp_path / "text", "is no bundle, or was cut (File is not a zip file)")


def test_other_precisions_are_named(made, capsys):
    with pytest.raises(UserError, match=r"b: has no int8 \(it has fp32\); export it with --int8, or name another"):
        Recognizer(made / "b", precision="int8")
    with pytest.raises(UserError, match="--precision fp16: expected fp32 or int8"):
        Recognizer(made / "b", precision="fp16")
    for words, said in (
        (("--beam", 0), "beam"),
        (("--longest", 0.5), "--longest 0.5"),
        (("--threads", 0), "--threads 0"),
    ):
        assert kdasr("transcribe", "--model", made / "b", "a.wav", *words) == 1
        assert said in capsys.readouterr().err


def test_a_missing_package_is_named_with_its_remedy(made, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "kdasr.runtime.networks", raising=False)
    assert kdasr("transcribe", "--model", made / "b", "a.wav") == 1
    error = capsys.readouterr().err
    assert (
        "onnxruntime is not installed" in error and "pip install './kdasr[runtime]'" in error and error.count("\n") == 1
    )
