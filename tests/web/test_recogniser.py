"""The page of tools/web_page.sh in a real browser: its texts are those of kdasr's own greedy search."""

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bundles import RATE, export, kdasr, speech, write_data, write_model, write_student

from kdasr.data.fbank import fbank
from kdasr.runtime.recognizer import Recognizer
from kdasr.runtime.spell import Spelling

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import bench_report

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium", "web")]
LENGTHS = (1.0, 0.31, 1.9, 0.02)  # the last is too short for a frame
KINDS = {"kdasr": None, "transformer": None, "ctc alone": {"model_conf": {"ctc_weight": 1.0}}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    waves = {f"utt{n}": speech(seconds, seed=n) for n, seconds in enumerate(LENGTHS)}
    return write_data(tmp_path_factory.mktemp("data") / "d", waves, 80)


@pytest.fixture(scope="module")
def bundles(data, tmp_path_factory):
    """Kind of model -> its bundle, a zip or a directory."""
    root = tmp_path_factory.mktemp("bundles")
    found = {}
    for kind, changes in KINDS.items():
        model = write_student(root / kind, data, kind if kind in ("kdasr", "transformer") else "kdasr", changes=changes)
        found[kind] = export(model, root / f"{kind}_bundle{'.zip' if kind == 'kdasr' else ''}")
    return found


@pytest.fixture(scope="module")
def served(bundles, tmp_path_factory):
    """Address of a server, whose folders are pages, one of each kind of model."""
    root = tmp_path_factory.mktemp("served")
    for kind, bundle in bundles.items():
        assert page_of(bundle, root / kind.replace(" ", "_")).returncode == 0
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=root)
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("localhost", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def chromium():
    with bench_report.chromium() as driver:
        driver.set_script_timeout(60)
        yield driver


def page_of(*words):
    return subprocess.run(
        [ROOT / "tools/web_page.sh", *map(str, words)],
        env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def wait(driver, script, *words):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, 60, 0.05).until(lambda one: one.execute_script(script, *words))


def told(driver, pattern):
    """What the page says, once it says what is expected, or that something failed."""
    said = (
        "const t = document.getElementById('told').textContent; return /failed|loaded|transcribed/.test(t) ? t : null"
    )
    found = wait(driver, said)
    assert re.search(pattern, found), found
    return found


@pytest.fixture
def page(chromium, served):
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    chromium.get(f"{served}/kdasr/index.html")
    told(chromium, "loaded")
    return chromium


def hear(driver, path, expects="transcribed"):
    """The text that the page shows of a file."""
    driver.execute_script("document.getElementById('told').textContent = ''")
    driver.find_element("id", "file").send_keys(str(path))
    told(driver, expects)
    return driver.execute_script("return document.getElementById('text').textContent")


def choose(driver, search):
    script = "const e = document.getElementById('search'); e.value = arguments[0]; return e.value"
    assert driver.execute_script(script, search) == search


def best_path(recognizer, wave):
    """The text of CTC's best token in each frame of the bundle's encoder."""
    sound = recognizer.model.networks.encode(fbank(wave, RATE, 80))
    if sound is None:
        return ""
    best = sound.logp.argmax(1).tolist()
    spelling, blank = recognizer.model.bundle.spelling, recognizer.model.bundle.vocabulary.blank
    return spelling.text([one for n, one in enumerate(best) if one != blank and (n == 0 or one != best[n - 1])])


@pytest.mark.parametrize("kind", KINDS)
def test_its_texts_are_those_of_greedy_search(chromium, served, bundles, data, kind):
    chromium.get(f"{served}/{kind.replace(' ', '_')}/index.html")
    told(chromium, "loaded")
    options = chromium.execute_script("return [...document.getElementById('search').options].map(o => o.value)")
    assert options == (["ctc"] if kind == "ctc alone" else ["attention", "ctc"])
    recognizer = Recognizer(bundles[kind], beam=1, ctc_weight=1.0 if kind == "ctc alone" else 0.0)
    for search in options:
        choose(chromium, search)
        found, right = {}, {}
        for n in range(len(LENGTHS)):
            path = data / f"utt{n}.wav"
            found[n] = hear(chromium, path)
            wave = soundfile.read(path, dtype="int16")[0]
            right[n] = recognizer.transcribe(path).text if search == "attention" else best_path(recognizer, wave)
        assert found == right and found[3] == "" and len(set(right.values())) > 2


def test_another_search_is_done_at_once(page, data):
    texts = {}
    for search in ("attention", "ctc", "attention"):
        choose(page, search)
        if not texts:
            texts[search] = hear(page, data / "utt0.wav")
            continue
        page.execute_script("document.getElementById('told').textContent = ''")
        page.execute_script("document.getElementById('search').dispatchEvent(new Event('change'))")
        told(page, "1.0 s of audio, transcribed in ")
        heard = page.execute_script("return document.getElementById('text').textContent")
        assert texts.setdefault(search, heard) == heard
    assert texts["attention"] != texts["ctc"]


def test_nothing_leaves_the_machine(page, served, data):
    hear(page, data / "utt1.wav")
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    requests = [one["params"]["request"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    outside = [one["url"] for one in requests if not one["url"].startswith((f"{served}/kdasr/", "data:", "blob:"))]
    assert outside == [] and all(one["method"] == "GET" for one in requests)
    assert page.get_log("browser") == []
    script = "const done = arguments[0]; fetch('http://127.0.0.1:1/').then(() => done('sent'), e => done(e.message))"
    assert page.execute_async_script(script) != "sent"
    assert any("Content Security Policy" in entry["message"] for entry in page.get_log("browser"))


def test_audio_of_other_kinds(page, data, tmp_path):
    """Two channels alike are one; another rate, and FLAC, are converted; what is no audio is said."""
    wave = soundfile.read(data / "utt0.wav", dtype="int16")[0]
    soundfile.write(tmp_path / "two.wav", np.stack([wave, wave], 1), RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "one.flac", wave, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "whole.wav", wave, RATE, subtype="PCM_24")
    right = hear(page, data / "utt0.wav")
    for name in ("two.wav", "one.flac", "whole.wav"):
        assert hear(page, tmp_path / name) == right
    soundfile.write(tmp_path / "slow.wav", wave, 8000, subtype="PCM_16")
    hear(page, tmp_path / "slow.wav")
    assert told(page, "transcribed").startswith("2.0 s of audio")
    choose(page, "ctc")
    soundfile.write(tmp_path / "long.wav", np.tile(wave, 21), RATE, subtype="PCM_16")
    hear(page, tmp_path / "long.wav")
    assert "more than 20 s" in told(page, "21.0 s of audio")
    (tmp_path / "no.wav").write_text("RIFF")
    hear(page, tmp_path / "no.wav", "It failed: ")


def ask(driver, expression, *words):
    """What an expression of the page's module `m` and of `words` gives."""
    script = (
        "const [words, done] = [Array.from(arguments).slice(0, -1), arguments[arguments.length - 1]];"
        f"import('./recogniser.js').then(m => done({expression})).catch(e => done('' + e))"
    )
    return driver.execute_async_script(script, *words)


@pytest.mark.parametrize("rate, bins", [(16000, 80), (8000, 40), (11025, 23)])
def test_filterbanks(page, rate, bins):
    waves = [speech(0.4, seed=3, rate=rate), np.full(2000, 700, np.int16), np.zeros(rate // 40, np.int16)]
    for wave in [*waves, waves[0][: rate // 40 - 1]]:
        found = ask(
            page, "(f => [f.frames, Array.from(f.values)])(m.fbank(Int16Array.from(words[0]), words[1], words[2]))",
            wave.tolist(), rate, bins,
        )  # fmt: skip
        right = fbank(wave, rate, bins)
        assert found[0] == len(right) and np.allclose(np.reshape(found[1], right.shape), right, atol=2e-3)


def test_best_path(page):
    """A blank between two letters alike keeps both; of equal values the first is the best."""
    best = [1, 0, 1, 1, 2, 2, 0, 0, 2, 1]
    logp = np.where(np.arange(3) == np.array(best)[:, None], -0.1, -3.0)
    logp[1] = -1.0
    expression = "m.bestPath({dims: [words[0].length / 3, 3], data: Float32Array.from(words[0])}, 0)"
    found = ask(page, expression, logp.ravel().tolist())
    assert found == [1, 1, 2, 2, 1]


@pytest.mark.parametrize("kind", ["char", "bpe", "word"])
def test_spelling(page, kind):
    mark = "\u2581"
    tokens = ["<blank>", "<unk>", "<space>", "a", mark, f"{mark}bc", "d", "<0xC3>", "<0xA9>", f"d{mark}e", "<sos/eos>"]
    spelling = Spelling(kind, tuple(tokens), frozenset((0, 10)))
    how = {"kind": kind, "silent": [0, 10], "space": "<space>", "unk": "<unk>"}
    random = np.random.default_rng(0)
    lists = [[], [1], [4, 4, 5], [7, 8, 3], [8, 7], *(random.integers(0, 11, 7).tolist() for _ in range(60))]
    found = ask(page, "words[0].map(ids => m.spell(ids, words[1], words[2]))", lists, tokens, how)
    assert found == [spelling.text(ids) for ids in lists]


def test_a_bundle_that_the_page_cannot_run(chromium, served, tmp_path_factory, bundles):
    """Of another format, or of other features: it is said in words."""
    root = tmp_path_factory.mktemp("others")
    model = write_model(root / "m", bins=80)
    made = {"features": "log power spectrogram", "rate": 16000, "normalised": "no"}
    (model / "features.json").write_text(json.dumps(made))
    assert kdasr("export", "--model", model, "--out", root / "b") == 0
    assert page_of(root / "b", root / "site").returncode == 0
    settings = json.loads((root / "site/bundle/bundle.json").read_text())
    for changes, said in (({}, "takes other input than filterbanks"), ({"format": 99}, "a bundle of format 99")):
        (root / "site/bundle/bundle.json").write_text(json.dumps(settings | changes))
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=root / "site")
        with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            chromium.get(f"http://localhost:{server.server_port}/index.html")
            told(chromium, f"It failed: .*{said}")
            server.shutdown()


def test_the_folder(bundles, tmp_path):
    """What is made, once and again; what stays; what is no bundle."""
    site = tmp_path / "site"
    for _ in range(2):
        done = page_of(bundles["kdasr"], site)
        assert done.returncode == 0 and done.stdout == f"{site}: a page for any web server\n"
    assert {path.name for path in site.iterdir()} == {"bundle", "index.html", "ort", "page.js", "recogniser.js"}
    (tmp_path / "d").mkdir()
    (tmp_path / "d/thesis.txt").write_text("x")
    cases = {
        "holds other things than such a page": (bundles["kdasr"], tmp_path / "d"),
        "no such bundle": (tmp_path / "none", tmp_path / "s"),
        "is no bundle": (tmp_path / "d", tmp_path / "s"),
        "tools/web_page.sh student.zip site": ("one",),
    }
    for said, words in cases.items():
        done = page_of(*words)
        assert done.returncode == 1 and said in done.stderr, done
    assert (tmp_path / "d/thesis.txt").read_text() == "x" and not (tmp_path / "s").exists()
