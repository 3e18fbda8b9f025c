"""The page in a real browser, Debian's chromium without a window: what it shows, does, and asks the network for."""

import base64
import io
import json
import sys
from pathlib import Path

import pytest
from report_inputs import make_exp, tone
from test_page import Markup

from kdasr.cli import main
from kdasr.report import alignments, collect

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import bench_report

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium")]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """An exp directory, and its page with audio of one utterance."""
    root = tmp_path_factory.mktemp("browser")
    found = make_exp(root)
    every = collect.systems(found)
    pair = [
        next(one for one in every if one.name == name).scored["beam", "test"].utterances for name in ("teacher", "kd1")
    ]
    order = alignments.most_changed([{key: wrong for key, (wrong, _) in one.items()} for one in pair], pair[0])
    (root / "wav.scp").write_text(f"{order[0]} {tone(root / 'a.wav', 1.2)}\n")
    words = ["report", found, "-o", root / "p.html", "--audio", root / "wav.scp", "--note", "<b>a caution</b>"]
    assert main([str(word) for word in words]) == 0
    return root, every, order


@pytest.fixture(scope="module")
def chromium():
    with bench_report.chromium() as driver:
        yield driver


@pytest.fixture
def page(chromium, inputs):
    """The page, opened anew; what was logged before is forgotten."""
    screen(chromium, 1280, 900)
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    bench_report.visit(chromium, inputs[0] / "p.html")
    return chromium


def screen(driver, width, height, dark=False):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def asked(driver):
    """Addresses that were asked for since the log was read."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]


def all_texts(driver, selector):
    """The texts of all elements, seen or not."""
    script = "return Array.from(document.querySelectorAll(arguments[0])).map(e => e.textContent)"
    return driver.execute_script(script, selector)


def choose(driver, name, value):
    script = (
        "const e = document.getElementById(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('change'))"
    )
    driver.execute_script(script, name, value)


def write(driver, name, text):
    script = (
        "const e = document.getElementById(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('input'))"
    )
    driver.execute_script(script, name, text)


def rows(driver, column):
    """Visible rows of the table of systems: (name, the number they are sorted by)."""
    script = (
        "return Array.from(document.querySelectorAll('#table tbody tr')).filter(r => !r.hidden)"
        ".map(r => [r.cells[0].textContent, r.cells[arguments[0]].dataset.v])"
    )
    return [(name, float(value) if value else None) for name, value in driver.execute_script(script, column)]


def click_head(driver, column):
    driver.execute_script("document.querySelectorAll('#table thead button')[arguments[0]].click()", column)


def shown(driver):
    return driver.execute_script("return Array.from(document.querySelectorAll('.utt')).map(e => e.dataset.id)")


def test_it_opens_without_an_error_or_a_request(page, inputs):
    page.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    assert page.get_log("browser") == []
    urls = [url for url in asked(page) if not url.startswith(("data:", "about:"))]
    assert urls == [(inputs[0] / "p.html").as_uri()]
    assert page.title == "RESULTS"
    assert page.execute_script("return document.querySelector('h1').textContent").startswith("10.0")
    assert page.execute_script("return document.querySelector('.cautions').textContent").count("<b>a caution</b>") == 1


def test_nothing_that_a_page_could_be_made_to_hold_would_run_or_call_out(page):
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; document.body.append(s);"
        'const i = \'<img src="https://example.org/x.png" onerror="window.hacked = 2">\';'
        "document.body.insertAdjacentHTML('beforeend', i)"
    )
    assert page.execute_script("return window.hacked") is None
    log = page.get_log("browser")
    assert len(log) >= 2 and all("Content Security Policy" in entry["message"] for entry in log)


def test_the_table_sorts_by_its_figures(page):
    column = page.execute_script(
        "return Array.from(document.querySelectorAll('#table thead th')).findIndex(h => h.textContent.includes('WER')"
        " && h.textContent.includes('test') && h.textContent.includes('beam'))"
    )
    before = rows(page, column)
    assert len(before) == 4
    click_head(page, column)
    values = [value for _, value in rows(page, column)]
    assert values == [*sorted(value for value in values if value is not None), None]  # one has no score yet
    assert rows(page, column)[0][0].startswith("teacher")
    click_head(page, column)
    again = [value for _, value in rows(page, column)]
    assert again == [*reversed(values[:-1]), None]
    sorted_by = "return document.querySelectorAll('#table thead th')[arguments[0]].getAttribute('aria-sort')"
    assert page.execute_script(sorted_by, column) == "descending"
    click_head(page, 0)
    names = [name for name, _ in rows(page, column)]
    assert names == sorted(names, key=lambda name: name.strip("<").lower())


def test_seeds_stay_with_their_system(page):
    page.find_element("id", "every-seed").click()
    everything = [name for name, _ in rows(page, 1)]
    assert len(everything) == 8
    click_head(page, 1)
    click_head(page, 1)
    names = [name for name, _ in rows(page, 1)]
    assert sorted(names) == sorted(everything)
    at = next(k for k, name in enumerate(names) if name.startswith("student on references2 seeds"))
    assert [name.rpartition(", ")[2] for name in names[at + 1 : at + 3]] == ["seed 1", "seed 2"]


def test_the_filter_leaves_what_it_names(page):
    write(page, "filter", "TAUGHT i>")
    assert [name for name, _ in rows(page, 1)] == ["<i>taught</i> & 'quoted'2 seeds"]
    assert page.find_element("id", "shown").text == "1 of 4 systems"
    write(page, "filter", "")
    assert len(rows(page, 1)) == 4


def test_menus_choose_columns_and_pictures(page):
    def columns():
        return [text for text in all_texts(page, "#table thead th:not([hidden])") if "WER" in text]

    def pictures():
        return page.execute_script(
            "return Array.from(document.querySelectorAll('#pictures figure')).filter(h => !h.hidden).length"
        )

    assert columns() == ["WER test greedy", "WER test beam"] and pictures() == 3
    choose(page, "of-tag", "beam")
    assert columns() == ["WER test beam"] and pictures() == 2
    choose(page, "of-set", "")
    assert columns() == ["WER dev beam", "WER test beam"] and pictures() == 4


def told(driver, card):
    """A card's alignment: columns of (reference, A's word, A's mark, B's word, B's mark)."""
    script = (
        "return Array.from(document.querySelectorAll('.utt')[arguments[0]].querySelectorAll('.col')).map(c => {"
        "const cell = n => { const sub = n.querySelector('sub'); const mark = sub ? sub.textContent : '';"
        "return [mark ? n.querySelector('.w').firstChild.textContent : n.textContent, mark]; };"
        "return [c.children[0].textContent, ...cell(c.children[1]), ...cell(c.children[2])]; })"
    )
    return [tuple(column) for column in driver.execute_script(script, card)]


def test_the_browser_aligns_both_systems_with_the_reference(page, inputs):
    _, every, order = inputs
    assert shown(page) == order[:20]
    pair = [
        alignments.read(next(one for one in every if one.name == name).scored["beam", "test"])
        for name in ("teacher", "kd1")
    ]
    for card, name in enumerate(order[:20]):
        found = told(page, card)
        one = pair[0][name]
        assert tuple(word for word, *_ in found if word) == one.ref
        for place, side in enumerate(pair):
            words = [(column[1 + 2 * place], column[2 + 2 * place]) for column in found]
            said = [(word, mark or "C") for word, mark in words if (word or mark)]
            assert "".join(mark for _, mark in said) == side[name].operations
            assert tuple(word for word, mark in said if mark != "D") == side[name].hyp
    assert page.execute_script("return document.querySelectorAll('.utt b + i, .utt script, .utt img').length") == 0


def test_orders_search_and_more(page, inputs):
    _, every, order = inputs
    errors = [
        next(one for one in every if one.name == name).scored["beam", "test"].utterances for name in ("teacher", "kd1")
    ]
    assert len(order) == 30 and len(shown(page)) == 20
    page.execute_script("document.getElementById('more').click()")
    assert shown(page) == order
    choose(page, "order", "worst-b")
    found = [errors[1][name][0] for name in shown(page)]
    assert found == sorted(found, reverse=True) and found[0] == max(wrong for wrong, _ in errors[1].values())
    choose(page, "order", "loses")
    change = [errors[1][name][0] - errors[0][name][0] for name in shown(page)]
    assert change == sorted(change, reverse=True) and change[0] > change[-1]
    better, worse = (sum(sign * (errors[1][name][0] - errors[0][name][0]) > 0 for name in order) for sign in (-1, 1))
    balance = f"30 utterances: B is better on {better}, worse on {worse}, equal on {30 - better - worse}. Errors: "
    assert page.find_element("id", "balance").text.startswith(balance) and better != worse
    choose(page, "order", "gains")
    assert [errors[1][name][0] - errors[0][name][0] for name in shown(page)] == sorted(
        errors[1][name][0] - errors[0][name][0] for name in order
    )[:20]
    choose(page, "order", "worst-a")
    assert [errors[0][name][0] for name in shown(page)] == sorted((errors[0][name][0] for name in order), reverse=True)[
        :20
    ]
    choose(page, "order", "id")
    assert shown(page) == sorted(order)[:20]
    write(page, "find", "u017")
    assert shown(page) == [next(name for name in order if name.endswith("u017"))]
    write(page, "find", "</SCRIPT>")
    read = [
        alignments.read(next(one for one in every if one.name == name).scored["beam", "test"])
        for name in ("teacher", "kd1")
    ]
    holding = {name for name in order if any("</script>" in (*side[name].ref, *side[name].hyp) for side in read)}
    assert holding and set(shown(page)) == holding
    total = [sum(wrong for wrong, _ in one.values()) for one in errors]
    assert f"Errors: A {total[0]}, B {total[1]}." in page.find_element("id", "balance").text


def test_other_systems_and_sets_are_compared(page, inputs):
    _, every, _ = inputs
    choose(page, "set", "0")
    assert len(shown(page)) == 10
    names = [one.name for one in every]
    choose(page, "a", str(names.index("ref2")))
    choose(page, "a-tag", "greedy")
    read = [
        alignments.read(every[names.index(name)].scored[key])
        for name, key in (("ref2", ("greedy", "dev")), ("kd1", ("beam", "dev")))
    ]
    errors = [{key: one.errors for key, one in side.items()} for side in read]
    assert shown(page) == alignments.most_changed(errors, errors[0])


def test_frequent_errors_are_counted(page, inputs):
    _, every, _ = inputs
    page.execute_script("document.getElementById('frequent').open = true")
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    counts = [int(text) for text in all_texts(page, "#frequent tbody td")]
    found = dict(zip(all_texts(page, "#frequent tbody th"), zip(counts[::3], counts[1::3], strict=True), strict=True))
    side = alignments.read(next(one for one in every if one.name == "kd1").scored["beam", "test"])
    extra = sum(op == "I" and word == "extra" for one in side.values() for op, word in inserted(one))
    assert extra > 1 and found["extra put in"][1] == extra
    rows = list(zip(counts[::3], counts[1::3], counts[2::3], strict=True))
    assert len(rows) == 15 and all(b - a == change for a, b, change in rows)
    assert [max(a, b) for a, b, _ in rows] == sorted((max(a, b) for a, b, _ in rows), reverse=True)


def inserted(one):
    """(operation, hypothesis word) of an alignment's steps that have one."""
    return zip((op for op in one.operations if op != "D"), one.hyp, strict=True)


def test_audio_plays(page, inputs):
    script = (
        "const a = document.querySelector('audio'); const done = arguments[0];"
        "a.onloadedmetadata = () => done(a.duration); a.onerror = () => done('error ' + a.error.message); a.load()"
    )
    page.set_script_timeout(20)
    assert page.execute_async_script(script) == pytest.approx(1.2, abs=0.05)
    owner = "return document.querySelector('audio').closest('.utt').dataset.id"
    assert page.execute_script(owner) == inputs[2][0]
    assert len(page.find_elements("css selector", "audio")) == 1


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_screen_scrolls_tables_not_the_page(page, width, dark):
    screen(page, width, 844, dark)
    page.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    for node in ("body", "main section:last-of-type"):  # parts out of sight are laid out when they come into it
        page.execute_script("document.querySelector(arguments[0]).scrollIntoView(false)", node)
    wide = "return [document.documentElement.scrollWidth, document.body.scrollWidth]"
    assert page.execute_script(wide) == [width, width]
    inside = "const s = document.querySelector('#systems .scroll'); return s.scrollWidth > s.clientWidth"
    assert page.execute_script(inside)


def luminance(driver, what):
    """0 to 1, of a computed colour of the page."""
    text = driver.execute_script("return getComputedStyle(document.body)[arguments[0]]", what)
    red, green, blue = (int(part) for part in text.partition("(")[2].rstrip(")").split(",")[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark(page, inputs, dark):
    from PIL import Image

    screen(page, 1280, 900, dark)
    background, text = (luminance(page, what) for what in ("backgroundColor", "color"))
    assert (background < 0.15 and text > 0.8) if dark else (background > 0.95 and text < 0.15)
    axis = page.execute_script("return getComputedStyle(document.querySelector('figure svg text')).fill")
    assert axis == page.execute_script("return getComputedStyle(document.body).color")
    taken = page.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path = inputs[0] / f"{'dark' if dark else 'light'}.png"
    path.write_bytes(base64.b64decode(taken["data"]))
    picture = Image.open(io.BytesIO(path.read_bytes())).convert("L")
    counts = picture.histogram()
    most = max(range(256), key=counts.__getitem__) / 255
    assert abs(most - background) < 0.02 and sum(count > 20 for count in counts) > 50  # the page, and something on it


def test_every_control_is_reached_and_worked_by_the_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    page.execute_script("document.body.focus()")
    body = page.find_element("css selector", "body")
    reached = set()
    for _ in range(90):
        body.send_keys(Keys.TAB) if not reached else page.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(page.execute_script("const e = document.activeElement; return e.id || e.className || e.tagName"))
    assert {
        "of-set",
        "of-tag",
        "filter",
        "every-seed",
        "scroll",
        "set",
        "a",
        "b",
        "a-tag",
        "b-tag",
        "order",
        "find",
    } <= reached
    button = page.find_elements("css selector", "#table thead button")[1]
    button.send_keys(Keys.ENTER)
    sorted_by = (
        "return document.querySelectorAll('#table th')[1].getAttribute('aria-sort')"  # the smallest models first
    )
    assert page.execute_script(sorted_by) == "descending"
    button.send_keys(Keys.ENTER)
    assert page.execute_script(sorted_by) == "ascending"


def test_without_scripts_tables_and_pictures_are_there(chromium, inputs):
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        bench_report.visit(chromium, inputs[0] / "p.html")
        assert chromium.find_element("css selector", "#table tbody tr.seed").is_displayed()
        assert (
            len([one for one in chromium.find_elements("css selector", "#pictures figure") if one.is_displayed()]) == 6
        )
        assert not chromium.find_element("id", "of-set").is_displayed()
        assert "needs JavaScript" in chromium.find_element("id", "utterances").text
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_it_prints(page):
    done = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert base64.b64decode(done["data"])[:5] == b"%PDF-"


def test_figures_without_texts_show_their_counts(chromium, inputs, tmp_path):
    from kdasr.report import figures

    figures.append(inputs[1], tmp_path / "f.jsonl", figures.About("RESULTS", [], [], []))
    assert main(["report", "--figures", str(tmp_path / "f.jsonl"), "-o", str(tmp_path / "p.html")]) == 0
    screen(chromium, 1280, 900)
    chromium.get_log("browser")
    bench_report.visit(chromium, tmp_path / "p.html")
    assert shown(chromium) == inputs[2][:20]
    assert "their errors alone are known" in chromium.find_element("class name", "utt").text
    assert chromium.get_log("browser") == []


def test_the_bench_measures_the_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["bench", "--systems", "5", "--utterances", "12", "--rounds", "1", "--dir", str(tmp_path / "b")]
    )
    assert bench_report.main() == 0
    printed = capsys.readouterr().out
    assert "5 systems x 12 utterances x 2 searches" in printed and "\nopened " in printed
    data = json.loads(Markup((tmp_path / "b/report.html").read_text()).scripts[0])
    assert [len(one["hyps"]) for one in data["scored"]] == [12] * 10
    assert sorted({one["label"] for one in data["systems"]}) == [0, 1, 2]
