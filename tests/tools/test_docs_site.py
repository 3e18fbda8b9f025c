"""The documentation's site: each page is in its navigation, a broken link fails, nothing is fetched from elsewhere."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import needs
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import bench_report
import docs_links

ROOT = docs_links.ROOT
WIDTHS = ((390, 844), (820, 1180), (1440, 900))  # a telephone, a tablet, a desk


def pages(nav):
    """The files that a navigation names, in order."""
    for entry in nav:
        for value in entry.values():
            yield from pages(value) if isinstance(value, list) else [value]


def test_every_page_is_in_the_navigation_once_and_every_entry_is_there():
    named = list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert named[0] == "index.md" and not (ROOT / "docs/index.md").exists()  # README.md
    assert sorted(named[1:]) == sorted(path.name for path in (ROOT / "docs").glob("**/*.md"))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A small repository."""
    for name, text in {
        "README.md": "[a](docs/a.md#part) [code](lib/x.py) [dir](lib) ![p](docs/p.svg) [gone](nowhere.md)\n\n"
        "    [in code](docs/a.md)\n",
        "docs/a.md": "[home](../README.md) [b](b.md) [own](#x) [out](https://e.example/y.md) [with](../sub)",
        "docs/b.md": "",
        "docs/p.svg": "<svg/>",
        "lib/x.py": "one\n\n  two [no](link.md)\n",
        "sub/README.md": "[up](../lib/x.py)",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(docs_links, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "uri", "line"),
    [
        (
            "README.md", "index.md",
            "[a](a.md#part) [code](repo/lib/x.py.md) [dir](repo/lib/index.md) ![p](p.svg) [gone](nowhere.md)",
        ),
        (
            "docs/a.md", "a.md",
            "[home](index.md) [b](b.md) [own](#x) [out](https://e.example/y.md) [with](repo/sub/README.md)",
        ),
        ("sub/README.md", "repo/sub/README.md", "[up](../lib/x.py.md)"),
    ],
)  # fmt: skip
def test_links_as_the_site_has_them(place, source, uri, line):
    assert docs_links.with_links((place / source).read_text(), source, uri).splitlines()[0] == line


def test_links_in_code_stay(place):
    assert docs_links.with_links("    [in code](docs/a.md)", "README.md", "index.md") == "    [in code](docs/a.md)"
    fenced = "```\n[in code](docs/a.md)\n```"
    assert docs_links.with_links(fenced, "README.md", "index.md") == fenced


def test_what_is_taken_along(place):
    assert docs_links.linked("README.md") == ["docs/a.md", "lib/x.py", "lib", "docs/p.svg"]
    assert docs_links.linked("docs/a.md") == ["README.md", "docs/b.md", "sub"]
    assert docs_links.linked("lib/x.py") == []
    assert docs_links.content("lib/x.py") == "# lib/x.py\n\n    one\n\n      two [no](link.md)\n"
    subprocess.run(["git", "init", "-q", place], check=True)
    subprocess.run(["git", "-C", place, "add", "lib"], check=True)
    assert docs_links.content("lib") == "# lib\n\n    x.py\n"
    assert docs_links.content("sub") == "[up](../lib/x.py)"


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("Two:\n- a\n- b", "Two:\n\n- a\n- b"),
        ("- a\n  goes on\n- b\n\n1. c", "- a\n  goes on\n- b\n\n1. c"),
        ("    - code\ntext", "    - code\ntext"),
        ("a - b\n-c", "a - b\n-c"),
    ],
)
def test_lists_stand_apart(text, spaced):
    assert docs_links.spaced(text) == spaced


def build(top, out):
    """Make the site of a copy of the repository; the exit status and what was said."""
    done = subprocess.run(
        [needs.SITE_MAKER / "python", "-m", "mkdocs", "build", "--strict", "--site-dir", out],
        cwd=top, capture_output=True, text=True, timeout=120, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of what the site is made from, and the site."""
    needs.need("site")
    top = tmp_path_factory.mktemp("site")
    names = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).is_file() and not name.endswith(".jsonl"):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, top / name)
    subprocess.run(["git", "init", "-q", top], check=True)  # directories are shown by what git knows of them
    subprocess.run(["git", "-C", top, "add", "."], check=True)
    code, said = build(top, top / "made")
    assert code == 0, said
    return top


def test_the_home_is_the_readme_and_files_of_the_repository_are_there(copy):
    home = (copy / "made/index.html").read_text()
    title = re.search(r"^# (.+)$", (copy / "README.md").read_text(), re.M)[1]
    assert re.search(rf"<h1[^>]*>{re.escape(title)}<", home)
    assert (copy / "made/repo/CONTRIBUTING.html").is_file()
    linked = copy / "made/repo/kdasr/losses/sequence.py.html"  # by CONTRIBUTING.md
    assert "attention_loss" in linked.read_text()


def test_pages_ask_no_other_server_for_anything(copy):
    """Links lead elsewhere when they are clicked; scripts, styles, pictures and fonts do not."""
    for page in (copy / "made").rglob("*.html"):
        text = page.read_text()
        asked = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=[\"']?([^\"' >]+)", text)
        assert not [one for one in asked if re.match(r"(https?:)?//", one)], page.name
    for style in (copy / "made").rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", style.read_text()), style.name


def test_broken_links_fail_the_build_and_are_named(copy, tmp_path):
    page = copy / "docs/scores.md"
    text = page.read_text()
    page.write_text(f"{text}\n[x](gone.md) [y](search.md#gone) [z](../kdasr/gone.py)\n")
    (copy / "docs/lonely.md").write_text("# Lonely\n")
    try:
        code, told = build(copy, tmp_path / "made")
    finally:
        page.write_text(text)
        (copy / "docs/lonely.md").unlink()
    assert code == 1
    warned = [line for line in told.splitlines() if "gone" in line or "lonely" in line]
    assert len(warned) == 4 and sum("scores.md" in line for line in warned) == 3, told


@pytest.mark.browser
@pytest.mark.needs("chromium")
def test_on_a_telephone_a_tablet_and_a_desk(copy):
    """No page is wider than the screen, nothing goes wrong or out, and the dark is dark."""
    made = copy / "made"
    names = sorted(path.name for path in made.glob("*.html") if path.name != "404.html")
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "--bind", "localhost", "--directory", made, "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        port = re.search(r"port (\d+)", server.stdout.readline())[1]
        site = f"http://localhost:{port}"
        with bench_report.chromium() as driver:
            for (width, height), dark in itertools.product(WIDTHS, (False, True)):
                screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
                scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
                driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
                driver.get("about:blank")  # a page keeps its colours when it is left
                driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": site, "storageTypes": "all"})
                for name in ("index.html", *(names if width < 500 and not dark else names[::5])):
                    driver.get(f"{site}/{name}")
                    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
                    assert driver.execute_script(wide) <= 0, (name, width)
                color = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
                assert (max(map(int, re.findall(r"\d+", color)[:3])) < 100) == dark, (color, width)
            assert driver.get_log("browser") == []
            messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
            sent = [one["params"] for one in messages if one["method"] == "Network.requestWillBeSent"]
            urls = {one["request"]["url"] for one in sent}
            assert {url for url in urls if not url.startswith((site, "data:", "about:", "blob:"))} == set()
    finally:
        server.terminate()
        server.wait()
