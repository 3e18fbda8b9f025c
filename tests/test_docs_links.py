"""The pages: every link and anchor leads somewhere, every page says for whom it is, and what is named is there."""

import re
import subprocess

import pages
import pytest

ROOT = pages.ROOT
PAGES = pages.pages()
DOCS = [page for page in PAGES if page.parent == ROOT / "docs"]
NAMED = ("kdasr/", "utils/", "tools/", "tests/", "egs/", "docs/", "web/")
PLACEHOLDERS = re.compile(r"NAME|WORDS|DIR|RECIPE|MODEL|SET|[*{<]")
MADE = re.compile(r"egs/\w+/(data|dump|exp)(/|$)|tools/venv|utils/run_")


def names(pages_):
    return [str(page.relative_to(ROOT)) for page in pages_]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_and_anchors_lead_somewhere(page):
    for link in pages.links(page):
        if re.match(r"https?://|mailto:", link):
            continue
        where, _, anchor = link.partition("#")
        target = (page.parent / where).resolve() if where else page
        assert target.exists() and target.is_relative_to(ROOT), f"{link}: there is no such file"
        if anchor:
            assert target.suffix == ".md" and anchor in pages.anchors(target), f"{link}: there is no such heading"


def test_a_link_is_found_and_one_in_code_is_none(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two` *three*\n\n[a](b.md#c) `[d](e.md)` ![f](g.svg)\n\n    [h](i.md)\n\n```text\n[j](k.md)\n```\n"
        "## It's: one - two\n## It's: one two\n## It's: one two\n"
    )
    assert pages.links(page) == ["b.md#c", "g.svg"]
    # where GitHub and the site call a heading otherwise, no link may lead there
    assert pages.anchors(page) == {"one-two-three"}


def test_blocks_of_code_and_the_commands_in_them(tmp_path):
    page = tmp_path / "docs/page.md"
    text = "A\n\n    kdasr x --a \\\n        b   # why\n    # all\n\n    make y\n\n"
    text += "B\n\n<!-- not run: slow -->\n\n    make z\n"
    page.parent.mkdir()
    page.write_text(text + "\n```python\nmake = 1\n```\n- a\n\n      cd d && ./run.sh\n\n    label: x\n")
    found = pages.blocks(page)
    assert [block.commands for block in found] == [
        ["kdasr x --a b", "make y"],
        ["make z"],
        [],
        ["cd d && ./run.sh"],
        [],
    ]
    assert [block.not_run for block in found] == ["", "slow", "", "", ""]
    assert [block.line for block in found] == [3, 13, 16, 20, 22]


@pytest.mark.parametrize("page", DOCS, ids=names(DOCS))
def test_a_page_begins_with_whom_it_is_for(page):
    title, blank, first, *_ = page.read_text().split("\n")
    assert title.startswith("# ") and not blank and first.startswith("For people who"), first


def test_every_page_is_two_clicks_from_the_readme():
    reached = {ROOT / "README.md"}
    for _ in range(2):
        reached |= {(page.parent / link.partition("#")[0]).resolve() for page in reached if page.suffix == ".md"
                    for link in pages.links(page) if "://" not in link}  # fmt: skip
    assert set(DOCS) <= reached


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_files_that_are_named_are_there(page):
    """`kdasr/x.py` on a page is a file; `name` in `kdasr/x.py` is defined there."""
    text = pages.prose(page)
    for name in re.findall(r"`((?:[\w-]+/)+[\w.-]+)`", text):
        if name.startswith(NAMED) and not PLACEHOLDERS.search(name) and not MADE.match(name):
            assert (ROOT / name).exists() or (page.parent / name).exists(), name
    for what, name in re.findall(r"`(\w+)`[^`|.;:\n]* in `(kdasr/[\w/]+\.py)`", text):
        assert re.search(rf"^\s*(def |class )?{what}\b", (ROOT / name).read_text(), re.MULTILINE), (what, name)


def test_pages_that_code_names_are_there():
    """In comments, messages and help of all but tests; and `docs/PAGE.md#HEADING` is a heading."""
    words = ["git", "-C", str(ROOT), "grep", "-hoIE", r"docs/[A-Za-z0-9_-]+\.(md|yaml|svg)(#[a-z0-9_-]+)?", "--", "."]
    found = subprocess.run([*words, ":!tests"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip("no git repository")
    named = {name.partition("#")[::2] for name in found.stdout.split()}
    assert len(named) > 10
    for name, anchor in named:
        assert (ROOT / name).exists(), name
        assert not anchor or anchor in pages.anchors(ROOT / name), f"{name}#{anchor}"
